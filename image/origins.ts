import { globSync, lstatSync } from 'node:fs'
import { join } from 'node:path'
import { home } from './contents.ts'

export interface Origin {
  readonly name: string
  readonly files: number
  readonly bytes: number
}

const of = (path: string): string => `${home.slice(1)}/${path}`

/** The origin of a file by its path. The first match counts. */
const origins: readonly (readonly [name: string, path: string])[] = [
  ['Node.js', of('node_modules/node-linux-')],
  ['npm packages', of('node_modules/')],
  ['Sallyport: sources without their types', of('build/compile-cache/')],
  ['Sallyport: datapath', of('build/')],
  ['Sallyport: sources', of('')],
  ['Debian packages', ''],
]

/** Counts the files of a root folder by origin, largest first. */
export function countOrigins(root: string): readonly Origin[] {
  const counts = new Map(origins.map(([name]) => [name, { files: 0, bytes: 0 }]))
  for (const path of globSync(['**/*', '**/.*/**'], { cwd: root })) {
    const status = lstatSync(join(root, path))
    if (!status.isFile()) continue
    const name = origins.find(([, prefix]) => path.startsWith(prefix))?.[0] ?? ''
    const count = counts.get(name)
    if (count === undefined) continue
    count.files++
    count.bytes += status.size
  }
  return [...counts].map(([name, count]) => ({ name, ...count })).sort((a, b) => b.bytes - a.bytes)
}
