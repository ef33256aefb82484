/**
 * `make image`: builds the image of agents and operators, and the images of the lab's nodes, as OCI archives in build/image. Archives
 * that are up to date are kept. --again builds everything again. --check builds twice and compares. --if-possible succeeds even if the
 * tools are missing.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, matchesGlob } from 'node:path'
import { parseArgs } from 'node:util'
import { version } from '../src/api/version.ts'
import { leaveWithReader } from '../src/runtime/closed-pipe.ts'
import { readArchive } from './archive.ts'
import { configuration, debianLeftOut, debianPackages, home, sources, sourcesLeftOut } from './contents.ts'
import { layOutDebian } from './debian.ts'
import { layOutPause, layOutToolbox, toolboxPackages } from './lab-images.ts'
import { fillCache, layOutProgram, repository } from './lay-out.ts'
import { countOrigins } from './origins.ts'
import { type Image, type Layer, pack } from './pack.ts'
import { run } from './run.ts'

leaveWithReader()
const print = (line: string): void => void process.stdout.write(`${line}\n`)
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

interface Build {
  readonly file: string
  readonly reference: string
  /** The files that the archive depends on. */
  readonly inputs: () => readonly string[]
  readonly layOut: (root: string, folder: string) => void
  readonly layers: readonly Layer[]
  readonly settings: readonly string[]
  /** The time of every file in the image, in seconds since 1970. */
  readonly time: () => number
}

const never = (): number => 0

const node = `${home.slice(1)}/node_modules/node-linux-${process.arch}`
const { environment, directory, user, command } = configuration

const builds: readonly Build[] = [
  {
    file: 'sallyport.tar',
    reference: `docker.io/library/sallyport:${version}`,
    inputs: () => [...tree(sources, sourcesLeftOut), join(repository, 'package-lock.json')],
    layOut: (root, folder) => {
      withDebian(root, debianPackages, folder)
      layOutProgram(root)
      fillCache(root)
    },
    layers: [
      { name: 'debian', paths: [''], except: ['opt'] },
      { name: 'node', paths: [node], isOurs: true },
      { name: 'sallyport', paths: [home.slice(1)], except: [node], isOurs: true },
    ],
    settings: [
      ...Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
      ...['--workingdir', directory, '--user', user, '--cmd', JSON.stringify(command)],
    ],
    time: commitTime,
  },
  {
    file: 'toolbox.tar',
    reference: 'docker.io/library/toolbox:lab',
    inputs: () => [],
    layOut: (root, folder) => withDebian(root, toolboxPackages, folder),
    layers: [{ name: 'toolbox', paths: [''] }],
    settings: ['--cmd', '["sleep","infinity"]'],
    time: never,
  },
  {
    file: 'pause.tar',
    reference: 'registry.k8s.io/pause:lab',
    inputs: () => [],
    layOut: layOutPause,
    layers: [{ name: 'pause', paths: ['pause'] }],
    settings: ['--entrypoint', '["/pause"]', '--user', '65535'],
    time: never,
  },
]

/** Files of this repository, sorted. */
function tree(paths: readonly string[], leftOut: readonly string[]): readonly string[] {
  return paths
    .flatMap((path) => (statSync(join(repository, path)).isFile() ? [path] : globSync(`${path}/**/*`, { cwd: repository })))
    .filter((path) => !leftOut.some((pattern) => matchesGlob(path, pattern) || path.startsWith(`${pattern}/`)))
    .map((path) => join(repository, path))
    .filter((path) => statSync(path).isFile())
    .sort()
}

/** The Debian packages take longest and change least, so they are cached beside the archives. */
function withDebian(root: string, packages: readonly string[], folder: string): void {
  const key = hashOf([join(import.meta.dirname, 'debian.ts')], [...packages, ...debianLeftOut])
  const kept = join(folder, `debian-${key.slice(0, 16)}.tar`)
  if (!existsSync(kept)) {
    layOutDebian(root, packages)
    run('tar', ['--create', '--file', `${kept}.new`, '--numeric-owner', '--directory', root, '.'])
    run('mv', [`${kept}.new`, kept])
    return
  }
  mkdirSync(root, { recursive: true })
  run('tar', ['--extract', '--file', kept, '--numeric-owner', '--same-permissions', '--directory', root])
}

function hashOf(files: readonly string[], words: readonly string[]): string {
  const hash = createHash('sha256').update(JSON.stringify(words))
  for (const file of files) hash.update(file).update(readFileSync(file))
  return hash.digest('hex')
}

/** The time of the commit, or SOURCE_DATE_EPOCH, in seconds. */
function commitTime(): number {
  const given = process.env.SOURCE_DATE_EPOCH
  if (given !== undefined) return Number(given)
  try {
    return Number(run('git', ['-C', repository, 'log', '-1', '--format=%ct']))
  } catch (cause) {
    const message = 'this is not a git checkout, so the time of the image is unknown: set SOURCE_DATE_EPOCH to seconds since 1970'
    throw new Error(message, { cause })
  }
}

function build(build: Build, folder: string): void {
  const archive = join(folder, build.file)
  const tools = globSync(join(import.meta.dirname, '*.ts')).sort()
  const stamp = hashOf([...build.inputs(), ...tools], [build.reference, process.arch, String(build.time())])
  const stampFile = `${archive}.inputs`
  if (existsSync(archive) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return
  print(`image: building ${build.reference}`)
  const root = join(folder, 'root')
  rmSync(root, { recursive: true, force: true })
  rmSync(stampFile, { force: true })
  build.layOut(root, folder)
  const image: Image = { ...build, root }
  pack(image, folder, archive, build.time())
  if (build === builds[0]) writeFileSync(join(folder, 'origins.json'), JSON.stringify(countOrigins(root), null, 2))
  rmSync(root, { recursive: true, force: true })
  writeFileSync(stampFile, stamp)
}

function report(folder: string): void {
  for (const { file, reference } of builds) {
    const { compressedBytes, digest } = readArchive(join(folder, file))
    print(`${reference.padEnd(36)} ${megabytes(compressedBytes).padStart(9)} compressed  ${digest}`)
  }
  print('')
  print(`${'contents of the first image'.padEnd(44)}${'files'.padStart(7)}${'unpacked'.padStart(12)}`)
  const origins = JSON.parse(readFileSync(join(folder, 'origins.json'), 'utf8')) as ReturnType<typeof countOrigins>
  for (const { name, files, bytes } of origins)
    print(`${name.padEnd(44)}${String(files).padStart(7)}${megabytes(bytes).padStart(12)}`)
  const sum = (key: 'files' | 'bytes'): number => origins.reduce((total, origin) => total + origin[key], 0)
  print(`${'total'.padEnd(44)}${String(sum('files')).padStart(7)}${megabytes(sum('bytes')).padStart(12)}`)
}

/** Why the image cannot be built here, and what to do. Undefined if it can. */
function missingTools(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can create its files: run the command with sudo'
  const missing = ['buildah', 'mmdebstrap'].filter((tool) => spawnSync(tool, ['--version']).error !== undefined)
  return missing.length === 0 ? undefined : `${missing.join(' and ')} missing: run apt-get install ${missing.join(' ')}`
}

const { values: options } = parseArgs({
  options: {
    again: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    'if-possible': { type: 'boolean', default: false },
    folder: { type: 'string', default: join(repository, 'build/image') },
  },
})

function buildAll(folder: string): void {
  mkdirSync(folder, { recursive: true })
  for (const each of builds) build(each, folder)
}

const missing = missingTools()
if (missing !== undefined) {
  print(`image: cannot build the image: ${missing}`)
  process.exit(options['if-possible'] ? 0 : 1)
}
if (options.again) rmSync(options.folder, { recursive: true, force: true })
buildAll(options.folder)
report(options.folder)
if (options.check) {
  const second = `${options.folder}-again`
  rmSync(second, { recursive: true, force: true })
  buildAll(second)
  for (const { file, reference } of builds) {
    const [first, again] = [options.folder, second].map((folder) => readArchive(join(folder, file)).digest)
    print(`${reference}: ${first === again ? 'the second build is equal' : `the second build differs: ${again}`}`)
    if (first !== again) process.exitCode = 1
  }
  rmSync(second, { recursive: true, force: true })
}
