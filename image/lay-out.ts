import { chmodSync, cpSync, globSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { dirname, join, matchesGlob, resolve } from 'node:path'
import { debianPackages, home, moduleFilesLeftOut, sources, sourcesLeftOut } from './contents.ts'
import { layOutDebian } from './debian.ts'
import { modulesOf } from './modules.ts'
import { run } from './run.ts'

export const repository = resolve(import.meta.dirname, '..')

const isOneOf = (path: string, patterns: readonly string[]): boolean =>
  patterns.some((pattern) => path === pattern || matchesGlob(path, pattern))

/** Our own program and the npm packages that it needs, Node.js among them. */
export function layOutProgram(root: string): void {
  const target = join(root, home)
  mkdirSync(target, { recursive: true })
  for (const source of sources) {
    mkdirSync(dirname(join(target, source)), { recursive: true })
    cpSync(join(repository, source), join(target, source), {
      recursive: true,
      filter: (path) => !isOneOf(path.slice(repository.length + 1), sourcesLeftOut),
    })
  }
  for (const path of modulesOf(repository)) {
    const base = join(repository, 'node_modules')
    cpSync(join(repository, path), join(target, path), {
      recursive: true,
      dereference: true,
      filter: (from) =>
        !isOneOf(from.slice(base.length + 1), moduleFilesLeftOut) &&
        !from.slice(join(repository, path).length).startsWith('/node_modules'),
    })
  }
  mkdirSync(join(target, 'node_modules/.bin'))
  const node = `node-linux-${process.arch}`
  symlinkSync(`../${node}/bin/node`, join(target, 'node_modules/.bin/node'))
  chmodSync(join(target, 'node_modules', node, 'bin/node'), 0o755)
}

/**
 * What Node.js makes of our sources, made where they will be: it is kept by path. Sources without their types stay, which saves a
 * fifth of the memory. Compiled code goes: it would save a sixth of the start, but no two builds of it are equal.
 */
export function fillCache(root: string): void {
  run('chroot', [root, `${home}/fill-cache`], { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' })
  const cache = join(root, home, 'build/compile-cache')
  for (const path of globSync('**/*', { cwd: cache }).map((name) => join(cache, name)))
    if (statSync(path).isFile() && isCompiled(readFileSync(path))) rmSync(path)
}

/** Node.js puts 20 bytes before what it keeps, and V8 begins its code with 0xC0DE and two bytes of its version. */
function isCompiled(kept: Buffer): boolean {
  return kept.readUInt16LE(22) === 0xc0de
}

if (import.meta.main) {
  const root = process.argv[2]
  if (root === undefined) throw new Error('lay-out.ts ROOT: where the image’s files are to be laid out is missing')
  rmSync(root, { recursive: true, force: true })
  layOutDebian(root, debianPackages)
  layOutProgram(root)
  fillCache(root)
}
