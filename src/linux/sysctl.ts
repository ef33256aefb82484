import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** /proc/sys is read-only in a container that is not privileged. There, the agent's manifest mounts the node's /proc/sys. */
const folders = ['/run/host/proc/sys', '/proc/sys']

function pathOf(name: string): string {
  return (
    folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? join('/proc/sys', name)
  )
}

/** Names have slashes instead of the dots of sysctl(8), because the name of a device can contain a dot. */
export function readSysctl(name: string): string {
  return readFileSync(pathOf(name), 'utf8').trim()
}

/**
 * Sets a sysctl in this thread's network namespace. Returns whether it had to be changed. `reason` becomes part of the error, so that the
 * user can decide whether to set it by hand.
 */
export function writeSysctl(name: string, value: string, reason: string): boolean {
  try {
    if (readSysctl(name) === value) return false
    writeFileSync(pathOf(name), value)
    return true
  } catch (cause) {
    throw new Error(`cannot set ${name.replaceAll('/', '.')}=${value}, needed so that ${reason}`, { cause })
  }
}

const reservedName = 'net/ipv4/ip_local_reserved_ports'

/** The ranges in `ip_local_reserved_ports`, for example `49152-65535` and `80`. */
function reservedRanges(): string[] {
  return readSysctl(reservedName)
    .split(',')
    .filter((range) => range !== '')
}

/** Keeps the kernel from choosing these ports for the node's own sockets. Returns false if they were reserved already. */
export function reservePorts(first: number, last: number, reason: string): boolean {
  const ranges = reservedRanges()
  const covered = ranges.some((range) => {
    const [from = 0, to = from] = range.split('-').map(Number)
    return from <= first && last <= to
  })
  return covered ? false : writeSysctl(reservedName, [...ranges, `${first}-${last}`].join(','), reason)
}

/** Removes exactly this range. Larger ranges that contain it stay. Returns false if it was not reserved. */
export function releasePorts(first: number, last: number): boolean {
  const ranges = reservedRanges()
  const others = ranges.filter((range) => range !== `${first}-${last}`)
  if (others.length === ranges.length) return false
  return writeSysctl(reservedName, others.join(',') || '\n', 'all sockets may use these ports again')
}
