import { readFileSync } from 'node:fs'
import { native } from './libc.ts'

/* linux/netfilter_ipv4/ip_tables.h and ip6_tables.h. iptables-legacy talks to the kernel by socket options, not by netlink. */

const families = [
  { file: 'ip_tables_names', domain: 2, level: 0, suffix: '' },
  { file: 'ip6_tables_names', domain: 10, level: 41, suffix: ' (IPv6)' },
] as const
const raw = { type: 3, protocol: 255 } as const
const getInfo = 64
/** struct ipt_getinfo: the table's name, its hooks as bits, two offsets for each hook, the number of entries, their size. */
const info = { hooks: 32, entries: 76, size: 84 } as const

/** The tables of this network namespace that have more than the policies of their chains. The kernel lists a table from its first use on. */
export function listLegacyTables(): string[] {
  return families.flatMap((family) =>
    readNames(family.file)
      .filter((name) => hasRules(name, family))
      .map((name) => `${name}${family.suffix}`),
  )
}

/** Without the module there is no such file. */
function readNames(file: string): string[] {
  try {
    const text = readFileSync(`/proc/thread-self/net/${file}`, 'utf8')
    return text.split('\n').filter((name) => name !== '')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/**
 * A table without rules has one entry for the policy of each hook, and one that marks its end. A table that cannot be read may have
 * rules.
 */
function hasRules(name: string, { domain, level }: (typeof families)[number]): boolean {
  const value = Buffer.alloc(info.size)
  value.write(name, 0, 'latin1')
  const length = Buffer.alloc(4)
  length.writeUInt32LE(info.size)
  const socket = native.socket(domain, raw.type, raw.protocol)
  if (socket < 0) return true
  const result = native.getsockopt(socket, level, getInfo, value, length)
  native.close(socket)
  if (result < 0) return true
  const hooks = value.readUInt32LE(info.hooks).toString(2).replaceAll('0', '').length
  return value.readUInt32LE(info.entries) > hooks + 1
}
