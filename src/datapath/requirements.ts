import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { release } from 'node:os'
import { dirname, join } from 'node:path'

const bpffsMagic = 0xcafe4a11

/**
 * Since 5.12 the kernel's verifier checks functions with pointer arguments separately. Older kernels load none of the
 * programs. Kernels before 6.1 are untested. There the verifier decides, and the agent reports its message.
 */
export const kernels = { oldest: '5.12', oldestTried: '6.1' } as const

/* Bits of capabilities(7). CAP_SYS_ADMIN contained CAP_BPF before 5.8 and still does. */
const capabilities = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_BPF: 39 } as const

/** What prevents the datapath from being loaded here, one sentence each with the remedy. Empty if nothing does. */
export function missingRequirements(pinDirectory: string, objectFile: string): string[] {
  return [
    missingObject(objectFile),
    oldKernel(release()),
    ...missingRights(readFileSync('/proc/self/status', 'utf8')),
    missingBpffs(pinDirectory),
  ].filter((problem) => problem !== undefined)
}

function missingObject(objectFile: string): string | undefined {
  if (existsSync(objectFile)) return undefined
  return `the compiled datapath ${objectFile} does not exist: run make build, or set --object-file`
}

export function oldKernel(version: string): string | undefined {
  if (!isOlder(version, kernels.oldest)) return undefined
  return `kernel ${version} is too old: upgrade to ${kernels.oldest} or later`
}

/**
 * Compares the first two numbers. A version that cannot be parsed does not count as older, because the kernel itself refuses
 * what it lacks.
 */
export function isOlder(version: string, than: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version) ?? []
  if (major === undefined || minor === undefined) return false
  const [thanMajor = 0, thanMinor = 0] = than.split('.').map(Number)
  return Number(major) < thanMajor || (Number(major) === thanMajor && Number(minor) < thanMinor)
}

export function missingRights(status: string): string[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  const has = (name: keyof typeof capabilities): boolean =>
    ((effective >> BigInt(capabilities[name])) & 1n) === 1n
  const missing: string[] = []
  if (!has('CAP_BPF') && !has('CAP_SYS_ADMIN'))
    missing.push('capability CAP_BPF is missing, which loading programs needs: run as root or grant CAP_BPF')
  if (!has('CAP_NET_ADMIN'))
    missing.push(
      'capability CAP_NET_ADMIN is missing, which attaching programs needs: run as root or grant CAP_NET_ADMIN',
    )
  return missing
}

function missingBpffs(directory: string): string | undefined {
  let existing = directory
  while (!existsSync(existing) && existing !== dirname(existing)) existing = dirname(existing)
  if (Number(statfsSync(existing).type) === bpffsMagic) return undefined
  return `${directory} is not on a BPF file system, so programs and maps would not survive a restart: run mount -t bpf bpf /sys/fs/bpf`
}

/** Functions of the kernel that bpf/shared-address.h calls. The last of them came with 6.1. */
const connectionTracking = [
  'bpf_skb_ct_lookup',
  'bpf_skb_ct_alloc',
  'bpf_ct_insert_entry',
  'bpf_ct_release',
  'bpf_ct_set_timeout',
  'bpf_ct_change_timeout',
  'bpf_ct_change_status',
  'bpf_ct_set_nat_info',
] as const

/**
 * Whether programs can ask the stack's connection tracking for ports. The kernel describes its functions in its BTF. A module has a
 * file of its own there while it is loaded.
 */
export function hasConnectionTracking(folder = '/sys/kernel/btf'): boolean {
  const files = ['vmlinux', 'nf_conntrack', 'nf_nat'].map((name) => join(folder, name)).filter(existsSync)
  const types = files.map((file) => readFileSync(file))
  return connectionTracking.every((name) => types.some((each) => each.includes(`\0${name}\0`)))
}
