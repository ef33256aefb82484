import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** In a container that is not privileged /proc/sys is read-only, and what may be written is mounted from the node. */
const folders = ['/run/host/proc/sys', '/proc/sys']

function pathOf(name: string): string {
  return (
    folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? join('/proc/sys', name)
  )
}

/** Names are as sysctl(8) has them but with slashes: a device's name may hold a dot. */
export function readSysctl(name: string): string {
  return readFileSync(pathOf(name), 'utf8').trim()
}

/**
 * Sets a knob of the kernel, of the network namespace that this thread is in, and says whether it had to be changed.
 * `reason` becomes part of the error: whoever reads it has to decide whether to set it by hand.
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

/** As `ip_local_reserved_ports` lists them: `49152-65535,80`. */
function reservedRanges(): string[] {
  return readSysctl(reservedName)
    .split(',')
    .filter((range) => range !== '')
}

/** The node's own sockets do not take these ports by themselves. False where that was so already. */
export function reservePorts(first: number, last: number, reason: string): boolean {
  const ranges = reservedRanges()
  const covered = ranges.some((range) => {
    const [from = 0, to = from] = range.split('-').map(Number)
    return from <= first && last <= to
  })
  return covered ? false : writeSysctl(reservedName, [...ranges, `${first}-${last}`].join(','), reason)
}

/** The same range, given back; others, also those that it is part of, stay. False where it was not reserved. */
export function releasePorts(first: number, last: number): boolean {
  const ranges = reservedRanges()
  const others = ranges.filter((range) => range !== `${first}-${last}`)
  if (others.length === ranges.length) return false
  return writeSysctl(reservedName, others.join(',') || '\n', 'all sockets may use these ports again')
}
