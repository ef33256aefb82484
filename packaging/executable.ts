import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Bundle, repository } from './bundle.ts'
import { run } from './run.ts'

export type Architecture = 'x64' | 'arm64'

/** Where Node.js looks for its program, from its documentation of single executable applications. */
const resource = 'NODE_SEA_BLOB'
const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'

/**
 * Writes Node.js with the command inside. The blob has no compiled code, so it is the same for every processor, and this machine can
 * build the executables of others.
 */
export function makeExecutable({ code }: Bundle, node: string, target: string): void {
  const folder = `${target}.parts`
  mkdirSync(folder, { recursive: true })
  const [program, blob, settings] = ['sallyport.cjs', 'blob', 'settings.json'].map((name) =>
    join(folder, name),
  ) as [string, string, string]
  writeFileSync(program, code)
  writeFileSync(
    settings,
    JSON.stringify({ main: program, output: blob, disableExperimentalSEAWarning: true, useSnapshot: false }),
  )
  // The blob must be written by the same version of Node.js that reads it.
  run(join(repository, 'node_modules/.bin/node'), ['--experimental-sea-config', settings])
  copyFileSync(node, target)
  chmodSync(target, 0o755)
  // postject warns about unknown sections, which does not matter. `run` discards the warnings.
  run(process.execPath, [
    join(repository, 'node_modules/postject/dist/cli.js'),
    target,
    resource,
    blob,
    '--sentinel-fuse',
    fuse,
  ])
  rmSync(folder, { recursive: true })
}

/** The Node.js binary for a processor, of the version in the lock file. Undefined if npm has none. */
export function nodeFor(architecture: Architecture, folder: string): string | undefined {
  const name = `node-linux-${architecture}`
  const installed = join(repository, 'node_modules', name, 'bin/node')
  if (architecture === process.arch) return installed
  return fetchNode(name, folder)
}

/** npm installs only the package for this machine's processor. The lock file has the checksums of the others as well. */
function fetchNode(name: string, folder: string): string | undefined {
  const lock = JSON.parse(readFileSync(join(repository, 'package-lock.json'), 'utf8')) as Lock
  const locked = lock.packages[`node_modules/${name}`]
  if (locked === undefined) return undefined
  const target = join(folder, `.${name}`)
  mkdirSync(target, { recursive: true })
  try {
    run('npm', ['pack', '--silent', '--pack-destination', target, `${name}@${locked.version}`])
  } catch {
    return undefined
  }
  const archive = join(target, `${name}-${locked.version}.tgz`)
  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`
  if (found !== locked.integrity)
    throw new Error(
      `${name} ${locked.version} has the checksum ${found}, but package-lock.json expects ${locked.integrity}`,
    )
  run('tar', ['-xzf', archive, '-C', target, 'package/bin/node'])
  return join(target, 'package/bin/node')
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity: string }>>
}
