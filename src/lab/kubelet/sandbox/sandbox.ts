import { execFileSync, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { hide, isWithin } from '../../machines/hidden-folders.ts'
import { identify, type ProcessId } from '../../machines/machine.ts'
import { confine, protectFiles } from '../containers/confinement.ts'
import type { Pod, SecurityContext } from '../pod-spec.ts'
import { stateDirectory } from '../state-directory.ts'
import type { Bind } from '../volumes/binds.ts'
import { mountPoints, mountsHolding, propagationOf } from './mounts.ts'

/** Namespaces of its own for a pod's network; bound at a path so that it lives without a process. */
export function makeNetns(id: string): string {
  const path = `/run/netns/${id}`
  if (!existsSync(path)) execFileSync('ip', ['netns', 'add', id])
  return path
}

export function removeNetns(id: string): void {
  const path = `/run/netns/${id}`
  if (!existsSync(path)) return
  endProcessesIn(readNamespace(path))
  try {
    execFileSync('ip', ['netns', 'delete', id], { stdio: 'ignore' })
  } catch {
    rmSync(path, { force: true })
  }
}

function readNamespace(path: string): string {
  return execFileSync('stat', ['-L', '-c', '%i', path], { encoding: 'utf8' }).trim()
}

/** Whatever exec left running in the pod's namespace ends with the pod. */
function endProcessesIn(inode: string): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    try {
      if (readlinkSync(`/proc/${pid}/ns/net`) === `net:[${inode}]`) process.kill(Number(pid), 'SIGKILL')
    } catch {
      /* it has ended meanwhile, or is the kernel's */
    }
}

interface Launch {
  readonly pod: Pod
  readonly netns: string | undefined
  readonly command: readonly string[]
  readonly security: SecurityContext
  readonly env: Readonly<Record<string, string>>
  /** What appears where: folders of this kubelet's at the container's paths. */
  readonly binds: readonly Bind[]
  readonly logFile: string
  readonly onExit: (code: number) => void
}

/**
 * Starts a container: mounts and a hostname of its own, the pod's network, the rights that its pod says, and a process group
 * that ends as one. It has a /tmp of its own where it mounts nothing of the node's. Mounts made on the node later are seen
 * inside, as hostPath volumes with propagation are; what the kubelet keeps, of other pods too, is not.
 */
export function launch(container: Launch): ProcessId {
  const { pod, netns, command, security, env, binds, logFile, onExit } = container
  const scratch = join(stateDirectory, 'scratch')
  mkdirSync(scratch, { recursive: true })
  const hasOwnTmp = !binds.some(({ source }) => isWithin(source, '/tmp'))
  const shared = sharedMounts(binds)
  const script = [
    'set -e',
    ...(shared.length === 0 ? [] : separateMounts(shared)),
    ...(hasOwnTmp ? [hide('/tmp', scratch)] : []),
    ...(binds.some(({ target }) => isWithin(target, '/dev')) ? ownDevices(scratch) : []),
    ...(netns === undefined ? [] : [`hostname ${pod.metadata.name}`]),
    ...binds.flatMap((bind) => (bind.propagation === 'Bidirectional' ? [] : bindLines(bind))),
    `mount -t tmpfs tmpfs ${stateDirectory}`,
    ...protectFiles(security),
    'exec "$@"',
  ].join('\n')
  const propagation = shared.length === 0 ? 'slave' : 'unchanged'
  const unshare = [
    'unshare',
    '--mount',
    `--propagation=${propagation}`,
    ...(netns === undefined ? [] : ['--uts']),
  ]
  const enter = netns === undefined ? [] : ['nsenter', `--net=${netns}`, '--']
  const confined = confine(security, command)
  const [first = '', ...rest] = [...enter, ...unshare, '--', 'sh', '-c', script, 'container', ...confined]
  mkdirSync(join(logFile, '..'), { recursive: true })
  const log = openSync(logFile, 'a')
  const child = spawn(first, rest, { env, detached: true, stdio: ['ignore', log, log], cwd: '/' })
  closeSync(log)
  child.on('error', () => onExit(127))
  child.on('exit', (code, signal) => onExit(code ?? (signal === null ? 1 : 128 + signalNumber(signal))))
  child.unref()
  if (child.pid === undefined) throw new Error(`container process could not be started: ${command.join(' ')}`)
  return identify(child.pid)
}

/**
 * The machine's devices with room for files of the container's own, as a runtime gives it in its /dev: what is made there
 * must not appear on the machine.
 */
function ownDevices(scratch: string): string[] {
  const inner = ['pts', 'shm', 'mqueue'].filter((name) => existsSync(join('/dev', name)))
  return [
    `mount -t tmpfs tmpfs '${scratch}'`,
    `mkdir -p '${scratch}/old' '${scratch}/upper' '${scratch}/work'`,
    `mount --rbind /dev '${scratch}/old'`,
    `mount -t overlay overlay -o lowerdir=/dev,upperdir='${scratch}/upper',workdir='${scratch}/work' /dev`,
    ...inner.map((name) => `mkdir -p /dev/${name}; mount --rbind '${scratch}/old/${name}' /dev/${name}`),
    `umount -l '${scratch}'`,
  ]
}

/** A file is mounted on a file, a folder on a folder. */
function bindLines({ source, target, isReadOnly }: Bind): string[] {
  const [from, to] = [quote(source), quote(target)]
  const place = statSync(source).isDirectory()
    ? `[ -d ${to} ] || mkdir -p ${to}`
    : `[ -e ${to} ] || { mkdir -p ${quote(dirname(target))}; : >${to}; }`
  return [place, `mount -o ${isReadOnly ? 'rbind,ro' : 'rbind'} ${from} ${to}`]
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

/** The mounts of the node that hold a folder which is to be the node's. */
function sharedMounts(binds: readonly Bind[]): readonly string[] {
  const shared = binds.filter(({ propagation }) => propagation === 'Bidirectional')
  return shared.length === 0
    ? []
    : mountsHolding(
        shared.map(({ source }) => source),
        mountPoints(),
      )
}

/**
 * From here on the node's mounts come in and none goes out, except for the shared ones. A mount that another mount covers cannot
 * be named, nor reached.
 */
function separateMounts(shared: readonly string[]): string[] {
  return propagationOf(mountPoints(), shared).map(
    ([mount, propagation]) => `mount --make-${propagation} ${quote(mount)} 2>/dev/null || true`,
  )
}

function signalNumber(signal: string): number {
  return { SIGKILL: 9, SIGTERM: 15, SIGINT: 2, SIGSEGV: 11 }[signal] ?? 1
}
