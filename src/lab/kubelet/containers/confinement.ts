import { readFileSync } from 'node:fs'
import { repository } from '../../layout.ts'
import { findImage } from '../../programs/images.ts'
import type { Container, Pod, SecurityContext } from '../pod-spec.ts'

/** The capabilities that container runtimes keep by default (OCI, containerd). */
const usualCapabilities = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'NET_RAW',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]

/**
 * Every user in a container can read the files of its image. In a lab these are this machine's files, and only their owner
 * may be able to read the repository. So a user without the right to read everything gets this capability, and no other.
 */
const imageReader = 'DAC_READ_SEARCH'

/** From the container, or else its pod, or else its image. */
export function securityOf(pod: Pod, container: Container): SecurityContext {
  const runAsUser = findImage(container.image)?.user ?? 0
  return { runAsUser, ...pod.spec.securityContext, ...container.securityContext }
}

/** Why a container cannot be started with the settings of its pod. */
export function securityProblem({ runAsNonRoot, runAsUser = 0 }: SecurityContext): string | undefined {
  return runAsNonRoot && runAsUser === 0 ? 'container has runAsNonRoot and image will run as root' : undefined
}

/** The command line that runs a command with the rights of a container, and with no others. */
export function confine(security: SecurityContext, command: readonly string[]): string[] {
  const { runAsUser = 0, runAsGroup = 0, allowPrivilegeEscalation = true } = security
  const capabilities = capabilitiesOf(security)
  const kept = capabilities.has('DAC_OVERRIDE') ? capabilities : new Set([...capabilities, imageReader])
  const of = (names: Iterable<string>): string =>
    ['-all', ...[...names].map((name) => `+${name.toLowerCase()}`)].join()
  /* Without root, only ambient capabilities survive exec, and a pod's capabilities are not ambient. */
  const ambient = runAsUser === 0 || !kept.has(imageReader) ? [] : [imageReader]
  return [
    'setpriv',
    `--bounding-set=${of(kept)}`,
    `--inh-caps=${of(ambient)}`,
    `--ambient-caps=${of(ambient)}`,
    `--reuid=${runAsUser}`,
    `--regid=${runAsGroup}`,
    '--clear-groups',
    ...(allowPrivilegeEscalation ? [] : ['--no-new-privs']),
    '--',
    ...command,
  ]
}

/**
 * Computes capabilities as runtimes do: all or the default ones, without those that are dropped, and with those that are
 * added. Capabilities that this machine lacks cannot be given.
 */
export function capabilitiesOf({ privileged, capabilities = {} }: SecurityContext): ReadonlySet<string> {
  const { add = [], drop = [] } = capabilities
  const here = machineCapabilities()
  if (privileged || add.includes('ALL')) return here
  const start = drop.includes('ALL') ? [] : usualCapabilities
  const wanted = new Set([...start.filter((name) => !drop.includes(name)), ...add])
  return new Set([...wanted].filter((name) => here.has(name)))
}

/** By number, capabilities(7). */
const names =
  `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT
SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`.split(/\s+/)

/** A capability set of a process, from /proc/PID/status. */
export function readCapabilities(pid: number | 'self', set: 'CapBnd' | 'CapEff'): ReadonlySet<string> {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const bits = BigInt(`0x${new RegExp(`^${set}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? '0'}`)
  return new Set(names.filter((_, bit) => ((bits >> BigInt(bit)) & 1n) === 1n))
}

const machineCapabilities = (): ReadonlySet<string> => readCapabilities('self', 'CapBnd')

/**
 * Shell lines that protect a container's file system as in an image, after its volumes are mounted. The kernel's settings
 * are read-only, and the root file system too if the pod says so. Mounts inside it stay as they are.
 */
export function protectFiles({ privileged, readOnlyRootFilesystem }: SecurityContext): string[] {
  const kernel = privileged ? [] : ['/proc/sys', '/sys']
  const image = readOnlyRootFilesystem ? ['/etc', '/opt', '/run', '/tmp', '/var', repository] : []
  return [
    ...[...kernel, ...image].map((path) => `mount -o rbind,ro ${path} ${path}`),
    ...(readOnlyRootFilesystem ? ['mount -o remount,bind,ro /'] : []),
  ]
}
