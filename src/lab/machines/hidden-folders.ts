import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { nodeBinary } from '../environment.ts'
import { labsDirectory, repository } from '../layout.ts'

/**
 * Nodes, containers and pods use this machine's files, except for two folders that are empty for them. Each has its own /tmp, which is
 * deleted with it. None can read the labs' state, which contains credentials.
 */
export const hiddenFolders = ['/tmp', labsDirectory] as const

/** The folders of the programs that run in a lab. They stay visible. */
const programs = [...new Set([repository, join(repository, 'node_modules'), dirname(nodeBinary)])]
  .filter((folder) => existsSync(folder))
  .map((folder) => realpathSync(folder))

export const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(`${folder}/`)

/**
 * Lines of a shell script that mount an empty folder over this one. The programs and `kept` are mounted in it, at their places. The
 * script needs a private mount namespace, and `scratch` must be a folder of its own.
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
