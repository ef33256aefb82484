import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { configuration, home, sources, sourcesLeftOut } from '../image/contents.ts'
import { layOutProgram } from '../image/lay-out.ts'
import { modulesOf } from '../image/modules.ts'
import { version } from '../src/api/version.ts'
import { cleanUpDaemonSet } from '../src/install/agent-manifests.ts'
import { configMapData } from '../src/install/configuration.ts'
import { defaultNames } from '../src/install/manifest.ts'
import { renderInstall } from '../src/install/manifests.ts'

/* What can be said of the image without building it: our part of its file tree is laid out, and run. */

const repository = join(import.meta.dirname, '..')
const dockerfile = readFileSync(join(repository, 'Dockerfile'), 'utf8')
const [excluded, included] = [false, true].map((isIncluded) =>
  readFileSync(join(repository, '.dockerignore'), 'utf8')
    .split('\n')
    .filter(
      (line) => line !== '' && !line.startsWith('#') && line !== '*' && line.startsWith('!') === isIncluded,
    )
    .map((line) => line.replace('!', '')),
) as [string[], string[]]

/** Folders and files that a stage copies out of the repository. */
const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) =>
  sources.split(' '),
)

interface Locked {
  readonly version: string
  readonly dev?: boolean
  readonly resolved?: string
  readonly dependencies?: Readonly<Record<string, string>>
}
const lock = JSON.parse(readFileSync(join(repository, 'package-lock.json'), 'utf8')) as {
  readonly packages: Readonly<Record<string, Locked>>
}

/** The image's /opt/sallyport, in a folder that every user can read. */
function layOut(): string {
  const root = mkdtempSync(join(tmpdir(), 'sallyport-image-'))
  chmodSync(root, 0o755)
  layOutProgram(root)
  return join(root, home)
}

describe('the image', () => {
  const root = layOut()
  after(() => rmSync(root.slice(0, -home.length), { recursive: true }))
  const run = (command: string, ...words: string[]) =>
    spawnSync(join(root, 'bin', command), words, { encoding: 'utf8', env: { PATH: '/usr/bin:/bin' } })

  test('copies what there is, and what is not ignored', () => {
    assert.ok(copied.length >= 6)
    for (const path of copied) {
      accessSync(join(repository, path))
      assert.ok(included.includes(path), `${path} is in .dockerignore`)
    }
  })

  test('is the same whether a container engine builds it or not', () => {
    assert.match(dockerfile, /^RUN node .*image\/lay-out\.ts \/image$/m)
    assert.match(dockerfile, /^FROM scratch\nCOPY --from=build \/image \/$/m)
    const { environment, directory, user, command } = configuration
    const last = dockerfile.slice(dockerfile.indexOf('FROM scratch'))
    for (const [name, value] of Object.entries(environment))
      assert.ok(last.includes(`${name}=${value}`), name)
    assert.ok(last.includes(`WORKDIR ${directory}\n`))
    assert.ok(last.includes(`USER ${user}\n`))
    assert.ok(last.includes(`CMD ${JSON.stringify(command).replaceAll(',', ', ')}\n`))
    const made = ['build/sallyport.bpf.o']
    for (const path of sources.filter((each) => !made.includes(each))) assert.ok(copied.includes(path), path)
    for (const path of sourcesLeftOut) assert.ok(excluded.includes(path), `${path} is in .dockerignore`)
  })

  test('holds the packages that its programs import, and no others', () => {
    const packages = modulesOf(repository)
    for (const path of packages) assert.notEqual(lock.packages[path]?.dev, true, `${path} is for development`)
    for (const name of Object.keys(lock.packages['']?.dependencies ?? {}))
      assert.ok(packages.includes(`node_modules/${name}`), name)
    const koffi = packages.filter((path) => path.includes('@koromix/'))
    assert.deepEqual(koffi, [`node_modules/@koromix/koffi-linux-${process.arch}`])
    assert.equal(existsSync(join(root, 'src/lab')), false)
  })

  test('has every program that the manifests run', () => {
    const manifests = [...renderInstall(configMapData({}), defaultNames), cleanUpDaemonSet(configMapData({}))]
    const commands = new Set(
      [...JSON.stringify(manifests).matchAll(/"command":\["([^"]+)"/g)].map(([, command = '']) => command),
    )
    assert.deepEqual([...commands].sort(), ['sallyport-agent', 'sallyport-operator', 'sh'])
    for (const command of commands)
      if (command !== 'sh') accessSync(join(root, 'bin', command), constants.X_OK)
  })

  test('runs the command without the packages of development, and without the lab', () => {
    assert.equal(run('sallyport', 'version').stdout, `sallyport ${version}\n`)
    assert.match(run('sallyport', 'install', '--dry-run').stdout, /kind: DaemonSet/)
    assert.equal(
      run('cilium', 'version').stdout,
      `sallyport ${version}\n`,
      'by the name that the walkthrough types',
    )
  })

  test('runs agent and operator as far as they come without a cluster', () => {
    const nothing = join(root, 'configuration')
    mkdirSync(nothing)
    const messageOf = (command: string): string => run(command, '--config-directory', nothing).stderr
    assert.match(messageOf('sallyport-agent'), /the name of this node is unknown/)
    assert.match(messageOf('sallyport-operator'), /expects to run in a pod of the cluster/)
  })

  /* Its root file system is read-only: what is not there can never be kept. */
  test('has its sources compiled, for the user of each program', {
    skip: process.getuid?.() === 0 ? false : 'only root can be another user',
  }, (context) => {
    const root = layOut()
    context.after(() => rmSync(root.slice(0, -home.length), { recursive: true }))
    assert.equal(spawnSync('./fill-cache', { cwd: root, encoding: 'utf8' }).stderr, '')
    const said = (user: number, words: readonly string[], env: object = {}): readonly string[] =>
      spawnSync('setpriv', [`--reuid=${user}`, '--regid=0', '--clear-groups', '--', ...words], {
        encoding: 'utf8',
        env: { PATH: '/usr/bin:/bin', NODE_DEBUG_NATIVE: 'COMPILE_CACHE', ...env },
      })
        .stderr.split('\n')
        .filter((line) => line.includes(`StrippedTypeScript file://${root}/src/`))
    const [agent, operator] = [join(root, 'bin/sallyport-agent'), join(root, 'bin/sallyport-operator')]
    const thread = { NODE_OPTIONS: `--import=${join(root, 'src/agent/failover/pulse/worker.ts')}` }
    for (const [most, lines] of [
      [80, said(0, [agent])],
      [40, said(65532, [operator])],
      [10, said(0, [agent], thread)],
    ] as const) {
      const found = lines.filter((line) => /retrieving transpile cache .*success$/.test(line))
      assert.ok(found.length > most, `${found.length} sources are read from there`)
      assert.deepEqual(
        lines.filter((line) => /no transpile cache/.test(line)),
        [],
      )
    }
    /* What an agent installs on its node. Where it is missing, the agent makes it itself. */
    const [plugin = '', ...others] = globSync(join(root, 'build/compile-cache/cni-*.mjs'))
    assert.deepEqual(others, [])
    assert.match(readFileSync(plugin, 'utf8'), /CNI_COMMAND/)
    const installed = (): string => {
      const script = `import('${root}/src/agent/plugin/plugin-source.ts').then((module) => console.log(module.readPlugin()))`
      return spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' }).stdout
    }
    writeFileSync(plugin, 'made in advance')
    assert.equal(installed(), 'made in advance\n')
    rmSync(plugin)
    assert.match(installed(), /CNI_COMMAND/)
    assert.equal(statSync(join(root, 'build/compile-cache')).mode & 0o022, 0, 'root’s alone')
    assert.equal(statSync(join(root, 'build/compile-cache')).uid, 0, 'root’s alone')
  })

  test('is of this version, and of official images only', () => {
    assert.ok(dockerfile.includes(`--tag sallyport:${version} `))
    for (const [, image = ''] of dockerfile.matchAll(/^FROM (\S+)/gm))
      assert.match(image, /^(scratch|node:[\w.-]+)$/)
  })

  test('has the same Node.js on every machine, from the lock file', () => {
    const versions = ['x64', 'arm64'].map(
      (machine) => lock.packages[`node_modules/node-linux-${machine}`]?.version,
    )
    assert.equal(versions[0], versions[1])
    assert.match(versions[0] ?? '', /^24\./)
  })

  /* As a dry run without a network: what is to be installed is in the lock file, and what is not there is done without. */
  test('installs the packages that run, by the very words of the Dockerfile, from the lock file alone', () => {
    const [, line = ''] = /^RUN (npm .+?)(?: \\)?$/m.exec(dockerfile) ?? []
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-modules-'))
    for (const file of ['package.json', 'package-lock.json', '.npmrc'])
      cpSync(join(repository, file), join(folder, file))
    const npm = {
      npm_config_offline: 'true',
      npm_config_dry_run: 'true',
      npm_config_cache: join(folder, 'cache'),
    }
    const { status, stdout, stderr } = spawnSync('sh', ['-c', line], {
      cwd: folder,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, ...npm },
    })
    rmSync(folder, { recursive: true })
    assert.equal(status, 0, stderr)
    const installed = [...stdout.matchAll(/^add (\S+) /gm)].map(([, name]) => `node_modules/${name}`)
    const { dependencies = {} } = lock.packages[''] ?? {}
    for (const name of Object.keys(dependencies)) assert.ok(installed.includes(`node_modules/${name}`), name)
    for (const path of installed)
      assert.notEqual(lock.packages[path]?.dev, true, `${path} is for development`)
  })

  test('is locked without the address of a registry', () => {
    for (const [path, { resolved }] of Object.entries(lock.packages)) assert.equal(resolved, undefined, path)
  })
})
