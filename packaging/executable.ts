import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Bundle, repository } from './bundle.ts'
import { run } from './run.ts'

export type Architecture = 'x64' | 'arm64'

/** Where Node.js looks for its program; part of its documentation of single executable applications. */
const resource = 'NODE_SEA_BLOB'
const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'

/**
 * Node.js with the command inside. The blob is the same for every processor: code that one has compiled is left out of it, so that
 * this machine also makes the executables of others.
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
  // By the version that it is put into: another one may write it differently.
  run(join(repository, 'node_modules/.bin/node'), ['--experimental-sea-config', settings])
  copyFileSync(node, target)
  chmodSync(target, 0o755)
  // It warns of sections of Node.js that it does not know, which is of no consequence; `run` keeps that to itself.
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

/** The Node.js of a processor, of the version that the lock file has. For another machine's, npm is asked; undefined if it has none. */
export function nodeFor(architecture: Architecture, folder: string): string | undefined {
  const name = `node-linux-${architecture}`
  const installed = join(repository, 'node_modules', name, 'bin/node')
  if (architecture === process.arch) return installed
  return fetchNode(name, folder)
}

/** npm brings the packages of this machine's processor only; the lock file has the checksum of the others, too. */
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
      `${name} ${locked.version} has the checksum ${found}, and package-lock.json expects ${locked.integrity}`,
    )
  run('tar', ['-xzf', archive, '-C', target, 'package/bin/node'])
  return join(target, 'package/bin/node')
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity: string }>>
}
