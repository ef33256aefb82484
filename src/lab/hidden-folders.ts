import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { nodeBinary } from './environment.ts'
import { labsDirectory, repository } from './layout.ts'

/**
 * Nodes, containers and pods have this machine's files. Two folders they see empty: what is put into /tmp stays theirs and goes
 * with them, and what labs keep, credentials among it, is not theirs to read.
 */
export const hiddenFolders = ['/tmp', labsDirectory] as const

/** What runs in a lab needs its own programs, wherever they are. */
const programs = [...new Set([repository, join(repository, 'node_modules'), dirname(nodeBinary)])]
  .filter((folder) => existsSync(folder))
  .map((folder) => realpathSync(folder))

export const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(`${folder}/`)

/**
 * Lines of a shell script, for a mount namespace from which nothing spreads: an empty folder over this one, in which the
 * programs, and what else is to be kept of it, are in their places. `scratch` is a folder that nobody else uses.
 */
export function hide(folder: string, scratch: string, kept: readonly string[] = []): string {
  const seen = [...programs, ...kept].filter((path) => isWithin(path, folder))
  return [
    `mount -t tmpfs -o mode=1777 tmpfs '${scratch}'`,
    ...seen.flatMap((path) => {
      const at = `${scratch}${path.slice(folder.length)}`
      return [`mkdir -p '${at}'`, `mount --rbind '${path}' '${at}'`]
    }),
    `mount --move '${scratch}' '${folder}'`,
  ].join('\n')
}
