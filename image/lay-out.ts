import { chmodSync, cpSync, globSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { dirname, join, matchesGlob, resolve } from 'node:path'
import { commandNames, debianPackages, home, moduleFilesLeftOut, sources, sourcesLeftOut } from './contents.ts'
import { layOutDebian } from './debian.ts'
import { modulesOf } from './modules.ts'
import { run } from './run.ts'

export const repository = resolve(import.meta.dirname, '..')

const isOneOf = (path: string, patterns: readonly string[]): boolean =>
  patterns.some((pattern) => path === pattern || matchesGlob(path, pattern))

/** Copies the program and the npm packages that it needs, with Node.js among them. */
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
  for (const [name, command] of Object.entries(commandNames))
    symlinkSync(command, join(target, 'bin', name))
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
 * Fills the compile cache in the root folder itself, because the cache depends on paths. The cached sources without types save a fifth of
 * the memory. Compiled code is deleted. It would save a sixth of the start-up time, but no two builds of it are equal.
 */
export function fillCache(root: string): void {
  run('chroot', [root, `${home}/fill-cache`], { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' })
  const cache = join(root, home, 'build/compile-cache')
  for (const path of globSync('**/*', { cwd: cache }).map((name) => join(cache, name)))
    if (statSync(path).isFile() && isCompiled(readFileSync(path))) rmSync(path)
}

/** A cache entry has a header of 20 bytes. V8's compiled code begins with two bytes of its version and 0xC0DE. */
function isCompiled(kept: Buffer): boolean {
  return kept.readUInt16LE(22) === 0xc0de
}

if (import.meta.main) {
  const root = process.argv[2]
  if (root === undefined) throw new Error('the folder for the files of the image is missing: run lay-out.ts FOLDER')
  rmSync(root, { recursive: true, force: true })
  layOutDebian(root, debianPackages)
  layOutProgram(root)
  fillCache(root)
}
