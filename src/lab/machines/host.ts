import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ipv4Of, ipv6Of, type NodePlan, network } from '../layout.ts'
import { hiddenFolders, hide } from './hidden-folders.ts'
import {
  childOf,
  enterCommand,
  identify,
  inCgroup,
  makeCgroup,
  type ProcessId,
  run,
  startDaemon,
  until,
} from './machine.ts'

/** A set of namespaces: the lab's host, a node or a container. `init` is its first process. */
export interface Machine {
  readonly name: string
  readonly init: ProcessId
  /** The parent of `init`, outside the namespaces. */
  readonly keeper: ProcessId
  readonly cgroup: string
}

interface MachineOptions {
  readonly hasNodeMounts: boolean
  /** Whether a container runtime runs inside. It puts its containers into the machine's own cgroup. */
  readonly hasCgroups?: boolean
  /** Folders that stay visible when the lab's files are hidden. */
  readonly keptFolders?: readonly string[]
}

/**
 * The first process in new namespaces. It mounts its own file systems, writes "ready" to a file, and stays to reap orphans. It opens
 * that file first, because the mounts hide it.
 */
function initScript(
  hostname: string,
  scratch: string,
  { hasNodeMounts, hasCgroups = false, keptFolders = [] }: MachineOptions,
): string {
  const nodeMounts = `
mount --make-rshared /
mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -p /run/netns /run/overlay/etc /run/overlay/etc-work /run/overlay/opt /run/overlay/opt-work
mount --bind /run/netns /run/netns
mount --make-rshared /run/netns
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/overlay/etc,workdir=/run/overlay/etc-work /etc
mount -t overlay overlay -o lowerdir=/opt,upperdir=/run/overlay/opt,workdir=/run/overlay/opt-work /opt
mkdir -p /etc/cni/net.d /opt/cni/bin /run/sallyport
`
  const runtimeMounts = `
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /var/lib/cni
mount -t tmpfs tmpfs /var/lib/cni
`
  return `set -e
exec 3>"$1"
hostname ${hostname}
mount -t proc proc /proc
${hiddenFolders.map((folder) => hide(folder, scratch, keptFolders)).join('\n')}
${hasNodeMounts ? nodeMounts : 'mount -t sysfs sysfs /sys'}
${hasCgroups ? runtimeMounts : ''}
ip link set lo up
echo ready >&3
exec </dev/null 3>&-
while :; do sleep 3600 & wait $!; done
`
}

/** Creates namespaces, with their first process in a cgroup of its own. */
export async function startMachine(
  name: string,
  directory: string,
  cgroup: string,
  options: MachineOptions,
): Promise<Machine> {
  const scratch = join(directory, 'scratch')
  mkdirSync(scratch, { recursive: true })
  makeCgroup(cgroup)
  const script = join(directory, 'init.sh')
  const ready = join(directory, 'ready')
  writeFileSync(script, initScript(name, scratch, options))
  const unshare = [
    'unshare',
    '--net',
    '--mount',
    '--uts',
    '--pid',
    ...(options.hasCgroups ? ['--cgroup'] : []),
    '--fork',
    '--kill-child',
    '--propagation=private',
  ]
  const keeper = startDaemon(
    inCgroup(cgroup, [...unshare, '--', 'bash', script, ready]),
    join(directory, 'init.log'),
  )
  const init = await childOf(keeper.pid)
  const isReady = (): boolean => existsSync(ready) && readFileSync(ready, 'utf8') !== ''
  await until(`${name} is set up (see ${join(directory, 'init.log')})`, isReady, 10_000)
  return { name, init: identify(init), keeper, cgroup }
}

/** Runs a command inside the machine and returns what it printed. */
export function runInside(machine: Machine, words: readonly string[]): string {
  const [command = '', ...rest] = enterCommand(machine.init.pid, ['net', 'mount', 'uts', 'pid'], words)
  return run(command, rest)
}

/**
 * Creates the bridge to which every node is attached, with the address of the walkthrough's host. The host forwards nothing and has
 * no route beyond the bridge's network. Netfilter is disabled on the bridge, so that it acts like a cable.
 */
export function setUpBridge(host: Machine): void {
  runInside(host, [
    'sh',
    '-ec',
    `echo 0 >/proc/sys/net/ipv4/ip_forward
for knob in /proc/sys/net/bridge/bridge-nf-call-*tables; do [ ! -e "$knob" ] || echo 0 >"$knob"; done
ip link add ${network.bridge} type bridge
ip link set ${network.bridge} up
ip address add ${ipv4Of(1)}/16 dev ${network.bridge}
ip -6 address add ${ipv6Of(1)}/64 dev ${network.bridge} nodad`,
  ])
}

/** Attaches the eth0 of a machine to the bridge. */
export function connectToBridge(host: Machine, machine: Machine, octet: number): void {
  const port = `veth${octet}`
  const [command = '', ...words] = enterCommand(
    host.init.pid,
    ['net'],
    [
      'sh',
      '-ec',
      `ip link add ${port} type veth peer name eth0 netns ${machine.init.pid}
ip link set ${port} master ${network.bridge} up`,
    ],
  )
  run(command, words)
  runInside(machine, [
    'sh',
    '-ec',
    `ip link set eth0 up
ip address add ${ipv4Of(octet)}/16 dev eth0
ip -6 address add ${ipv6Of(octet)}/64 dev eth0 nodad
ip route add default via ${ipv4Of(1)}`,
  ])
}

export function addressesOf(node: NodePlan): readonly string[] {
  return [ipv4Of(node.lastOctet), ipv6Of(node.lastOctet)]
}
