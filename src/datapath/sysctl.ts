import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Names are as sysctl(8) has them but with slashes: a device's name may hold a dot. */
export function readSysctl(name: string): string {
  return readFileSync(join('/proc/sys', name), 'utf8').trim()
}

/**
 * Sets a knob of the kernel, of the network namespace that this thread is in, and says whether it had to be changed.
 * `reason` becomes part of the error: whoever reads it has to decide whether to set it by hand.
 */
export function writeSysctl(name: string, value: string, reason: string): boolean {
  try {
    if (readSysctl(name) === value) return false
    writeFileSync(join('/proc/sys', name), value)
    return true
  } catch (cause) {
    throw new Error(`cannot set ${name.replaceAll('/', '.')}=${value}, needed so that ${reason}`, { cause })
  }
}

/** Ports as `ip_local_reserved_ports` lists them: `49152-65535,80`. */
export function reservePorts(first: number, last: number, reason: string): boolean {
  const name = 'net/ipv4/ip_local_reserved_ports'
  const ranges = readSysctl(name)
    .split(',')
    .filter((range) => range !== '')
  const covered = ranges.some((range) => {
    const [from = 0, to = from] = range.split('-').map(Number)
    return from <= first && last <= to
  })
  return covered ? false : writeSysctl(name, [...ranges, `${first}-${last}`].join(','), reason)
}
