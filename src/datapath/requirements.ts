import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { release } from 'node:os'
import { dirname } from 'node:path'

const bpffsMagic = 0xcafe4a11
const oldestKernel = { major: 5, minor: 10 }

/* Bits of capabilities(7). CAP_SYS_ADMIN contained CAP_BPF before 5.8 and still does. */
const capabilities = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_BPF: 39 } as const

/** What keeps the datapath from being loaded here, one sentence each with the remedy; empty when nothing does. */
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
  return `the compiled datapath ${objectFile} does not exist: run make build, or name another file`
}

export function oldKernel(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > oldestKernel.major || (major === oldestKernel.major && minor >= oldestKernel.minor))
    return undefined
  return `the kernel is ${version}: Sallyport needs ${oldestKernel.major}.${oldestKernel.minor} or later`
}

export function missingRights(status: string): string[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  const has = (name: keyof typeof capabilities): boolean =>
    ((effective >> BigInt(capabilities[name])) & 1n) === 1n
  const missing: string[] = []
  if (!has('CAP_BPF') && !has('CAP_SYS_ADMIN'))
    missing.push('the right CAP_BPF is missing, which loading programs needs: run as root or grant CAP_BPF')
  if (!has('CAP_NET_ADMIN'))
    missing.push(
      'the right CAP_NET_ADMIN is missing, which attaching programs needs: run as root or grant CAP_NET_ADMIN',
    )
  return missing
}

function missingBpffs(directory: string): string | undefined {
  let existing = directory
  while (!existsSync(existing) && existing !== dirname(existing)) existing = dirname(existing)
  if (Number(statfsSync(existing).type) === bpffsMagic) return undefined
  return `${directory} is not on a BPF file system, so nothing could outlive a restart: mount -t bpf bpf /sys/fs/bpf`
}
