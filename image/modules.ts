import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Locked {
  readonly version?: string
  readonly dev?: boolean
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

/**
 * The npm packages in the image, as paths in the lock file: the dependencies of package.json, and their own dependencies. An optional
 * package that npm did not install is for another platform.
 */
export function modulesOf(repository: string): readonly string[] {
  const lock = JSON.parse(readFileSync(join(repository, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, Locked>>
  }
  const found = new Set<string>()
  const add = (from: string, name: string, isOptional: boolean): void => {
    const path = resolve(lock.packages, from, name)
    if (path === undefined) {
      if (isOptional) return
      throw new Error(`package-lock.json has no ${name}, which ${from || 'package.json'} depends on`)
    }
    if (found.has(path)) return
    if (!existsSync(join(repository, path))) {
      if (isOptional) return
      throw new Error(`${path} is missing: run ./setup`)
    }
    found.add(path)
    follow(path)
  }
  const follow = (path: string): void => {
    const { dependencies = {}, optionalDependencies = {} } = lock.packages[path] ?? {}
    for (const name of Object.keys(dependencies)) add(path, name, name in optionalDependencies)
    for (const name of Object.keys(optionalDependencies)) add(path, name, true)
  }
  follow('')
  return [...found].sort()
}

/** Like Node.js, looks in the importer's own node_modules first, and then in those of the folders above it. */
function resolve(packages: Readonly<Record<string, Locked>>, from: string, name: string): string | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('node_modules/') - 1))) {
    const path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`
    if (path in packages) return path
    if (folder === '') return undefined
  }
}
