import { readFileSync } from 'node:fs'
import { isWithin } from '../../machines/hidden-folders.ts'

/** Where file systems are mounted for this process, proc_pid_mountinfo(5). */
export function mountPoints(): readonly string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n')
  const points = lines.map((line) => line.split(' ')[4] ?? '')
  return [
    ...new Set(
      points.map((point) =>
        point.replaceAll(/\\(\d{3})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 8))),
      ),
    ),
  ]
}

const isBelow = (path: string, mount: string): boolean =>
  path === mount || mount === '/' || isWithin(path, mount)

/** The mount that each folder is in. */
export function mountsHolding(folders: readonly string[], mounts: readonly string[]): readonly string[] {
  return [...new Set(folders.map((folder) => longest(mounts.filter((mount) => isBelow(folder, mount)))))]
}

const longest = (paths: readonly string[]): string => paths.toSorted((a, b) => b.length - a.length)[0] ?? '/'

type Propagation = 'slave' | 'rslave'

/**
 * Which mounts to change so that all but the shared ones become slaves: one command for a whole tree without a shared mount in it,
 * because each command is a process.
 */
export function propagationOf(
  mounts: readonly string[],
  shared: readonly string[],
): readonly (readonly [mount: string, propagation: Propagation])[] {
  const isOpen = (mount: string): boolean => shared.some((each) => isBelow(each, mount))
  const parentOf = (mount: string): string =>
    longest(mounts.filter((each) => each !== mount && isBelow(mount, each)))
  return mounts.flatMap((mount): [string, Propagation][] => {
    if (shared.includes(mount)) return []
    if (isOpen(mount)) return [[mount, 'slave']]
    return isOpen(parentOf(mount)) ? [[mount, 'rslave']] : []
  })
}
