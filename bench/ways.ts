import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { dockerRun } from '../src/lab/docker/docker.ts'
import { startLab, stopLab } from '../src/lab/lab.ts'
import { loadLab, requireLab } from '../src/lab/lab-state.ts'
import { labsDirectory } from '../src/lab/layout.ts'
import {
  connectToBridge,
  type Machine,
  runInside,
  setUpBridge,
  startMachine,
} from '../src/lab/machines/host.ts'
import {
  enterCommand,
  findCgroupRoot,
  inCgroup,
  removeCgroup,
  run,
  startDaemon,
} from '../src/lab/machines/machine.ts'
import { exec } from '../src/lab/shell.ts'
import { loadBinary } from './tools.ts'

/** A way out of a cluster that is ready for measurements, with a function that runs a command in the pod. */
export interface Way {
  /** `tunnel`: Sallyport with egressPath=tunnel. `stack`: with gatewayForwarding=stack. `hop`: setUpHop. */
  readonly name: 'sallyport' | 'tunnel' | 'stack' | 'classic' | 'hop' | 'direct'
  readonly inPod: (words: readonly string[]) => readonly string[]
  readonly remove: () => Promise<void>
}

export const outpostAddress = '172.18.0.7'
export const port = 9000

const podAddress = '10.244.2.2'
const egressIp = '172.18.0.42'
const octets = { source: 2, gateway: 4, outpost: 7 } as const

/**
 * Sallyport with the lab's API server, operator, agents and CNI plugin, two nodes, a policy, and a pod that the policy
 * selects. Commands enter the pod's namespace directly, as in the other ways.
 */
export const setUpSallyport = (): Promise<Way> => setUpCluster('sallyport', 'bench')

export const setUpStack = (): Promise<Way> =>
  setUpCluster('stack', 'bench-stack', ' --set egressGateway.gatewayForwarding=stack')

export const setUpTunnel = (): Promise<Way> =>
  setUpCluster('tunnel', 'bench-tunnel', ' --set egressGateway.egressPath=tunnel')

async function setUpCluster(
  way: 'sallyport' | 'tunnel' | 'stack',
  name: string,
  settings = '',
): Promise<Way> {
  if (loadLab(name) !== undefined) await stopLab(name)
  await startLab({
    name,
    nodes: [
      { name: 'source', lastOctet: octets.source, podCIDRs: ['10.244.2.0/24'], isControlPlane: false },
      { name: 'gateway', lastOctet: octets.gateway, podCIDRs: ['10.244.4.0/24'], isControlPlane: false },
    ],
  })
  await installForGateway(name, settings)
  await typeIn(name, 'kubectl run pod --labels org=alliance --image docker.io/tgraf/netperf')
  await typeIn(name, 'kubectl wait --for=condition=Ready pod/pod --timeout=30s')
  await startOutpost(name)
  return { name: way, inPod: enterOnlyPod(name), remove: () => stopLab(name) }
}

/** Sallyport, the egress IP on the node `gateway`, and the walkthrough's policy, in a lab that has this node. */
export async function installForGateway(lab: string, settings: string): Promise<void> {
  for (const command of [
    'kubectl label node gateway egress-gw=true && kubectl taint node gateway egress-gw:NoSchedule',
    `docker exec gateway ip link add net0 type dummy && docker exec gateway ip a add ${egressIp}/16 dev net0`,
    `cilium install --set operator.replicas=1 --set 'devices={eth+,net+}'${settings} && cilium status --wait`,
    'kubectl apply -f egress-gw-policy.yaml',
  ])
    await typeIn(lab, command)
}

/** The server outside the cluster. `by`: what starts its program. */
export async function startOutpost(lab: string, by: readonly string[] = []): Promise<void> {
  await dockerRun(requireLab(lab), {
    name: 'outpost',
    image: 'busybox',
    environment: [],
    command: [...by, loadBinary, 'serve', String(port)],
  })
}

/** Runs a command as if typed in the lab's shell, and fails where it fails. */
export async function typeIn(lab: string, command: string): Promise<string> {
  const { code, output } = await exec(requireLab(lab), ['bash', '-c', command])
  if (code !== 0) throw new Error(`${command}: ${output}`)
  return output
}

/** Enters the namespace of the only pod of a node, by default of the lab's first one. */
export function enterOnlyPod(lab: string, node?: string): Way['inPod'] {
  const { nodes } = requireLab(lab)
  const source = (node === undefined ? nodes[0] : nodes.find(({ name }) => name === node))?.machine
  if (source === undefined) throw new Error(`the node ${node ?? 'of the pod'} is gone`)
  const netns = runInside(source, ['sh', '-c', 'ls /run/netns']).trim()
  return (words) =>
    enterCommand(source.init.pid, ['mount', 'net'], ['nsenter', `--net=/run/netns/${netns}`, '--', ...words])
}

/** The same topology, made only from parts of the kernel. */
async function setUpPlain(
  name: 'classic' | 'hop' | 'direct',
  configure: (machines: { source: Machine; gateway: Machine; outpost: Machine }) => void,
): Promise<Way> {
  const cgroup = join(findCgroupRoot(), `sallyport-bench-${name}`)
  await removeCgroup(cgroup)
  const machine = (part: string): Promise<Machine> =>
    startMachine(part, join(labsDirectory, `bench-${name}`, part), join(cgroup, part), {
      hasNodeMounts: false,
    })
  const host = await machine('host')
  setUpBridge(host)
  const [source, gateway, outpost, pod] = [
    await machine('source'),
    await machine('gateway'),
    await machine('outpost'),
    await machine('pod'),
  ]
  connectToBridge(host, source, octets.source)
  connectToBridge(host, gateway, octets.gateway)
  connectToBridge(host, outpost, octets.outpost)
  wirePod(source, pod)
  configure({ source, gateway, outpost })
  const serve = enterCommand(
    outpost.init.pid,
    ['net', 'mount', 'uts', 'pid'],
    [loadBinary, 'serve', String(port)],
  )
  startDaemon(
    inCgroup(join(cgroup, 'outpost'), serve),
    join(labsDirectory, `bench-${name}`, 'outpost', 'serve.log'),
  )
  return {
    name,
    inPod: (words) => enterCommand(pod.init.pid, ['net'], words),
    remove: async () => {
      await removeCgroup(cgroup)
      rmSync(join(labsDirectory, `bench-${name}`), { recursive: true, force: true })
    },
  }
}

export const shell = (machine: Machine, script: string): string => runInside(machine, ['sh', '-ec', script])

/**
 * Wires the pod as a CNI plugin does, with a veth pair and a route on each side. The pod's MTU leaves room for a tunnel, so
 * that it is the same in both ways.
 */
export function wirePod(source: Machine, pod: Machine, address = podAddress): void {
  shell(source, `echo 1 >/proc/sys/net/ipv4/ip_forward`)
  const [command = '', ...words] = enterCommand(
    source.init.pid,
    ['net'],
    [
      'ip',
      'link',
      'add',
      'pod0',
      'mtu',
      '1450',
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'mtu',
      '1450',
      'netns',
      String(pod.init.pid),
    ],
  )
  runHere(command, words)
  shell(
    source,
    `ip addr add 169.254.1.1/32 dev pod0; ip link set pod0 up; ip route add ${address}/32 dev pod0`,
  )
  shell(
    pod,
    `ip link set eth0 up; ip addr add ${address}/32 dev eth0; ip route add 169.254.1.1 dev eth0; ip route add default via 169.254.1.1 dev eth0`,
  )
}

function runHere(command: string, words: readonly string[]): void {
  run(command, words)
}

/** No gateway: the pod's own node masquerades. */
export function setUpDirect(): Promise<Way> {
  return setUpPlain('direct', ({ source }) => {
    shell(
      source,
      `nft -f - <<'E'
table ip nat { chain post {
  type nat hook postrouting priority 100;
  ip saddr ${podAddress} oifname eth0 masquerade
}
}
E`,
    )
  })
}

/** A gateway made from policy routing, VXLAN and nftables. */
export function setUpClassic(): Promise<Way> {
  return setUpPlain('classic', ({ source, gateway }) => {
    const vxlan = (local: number, remote: number, address: string): string =>
      `ip link add vx0 mtu 1450 type vxlan id 100 dstport 4789 local 172.18.0.${local} remote 172.18.0.${remote} dev eth0
ip addr add ${address}/30 dev vx0; ip link set vx0 up; echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/vx0/rp_filter`
    shell(
      source,
      `${vxlan(octets.source, octets.gateway, '192.168.255.1')}
ip rule add from ${podAddress} lookup 100; ip route add default via 192.168.255.2 dev vx0 table 100`,
    )
    shell(
      gateway,
      `${vxlan(octets.gateway, octets.source, '192.168.255.2')}
echo 1 >/proc/sys/net/ipv4/ip_forward; ip addr add ${egressIp}/32 dev eth0; ip route add ${podAddress}/32 via 192.168.255.1 dev vx0
nft -f - <<'E'
table ip nat { chain post {
  type nat hook postrouting priority 100;
  ip saddr ${podAddress} oifname eth0 snat to ${egressIp}
}
}
E`,
    )
  })
}

/**
 * A gateway without a tunnel: the pod's node translates, and the gateway is its next hop. The kernel answers ARP for an address only if its
 * route leaves by another device, so the outpost knows the gateway's MAC from the start.
 */
export function setUpHop(): Promise<Way> {
  return setUpPlain('hop', ({ source, gateway, outpost }) => {
    shell(
      source,
      `echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/eth0/rp_filter
ip rule add from ${podAddress} lookup 100; ip route add default via 172.18.0.${octets.gateway} dev eth0 table 100
nft -f - <<'E'
table ip nat { chain post {
  type nat hook postrouting priority 100;
  ip saddr ${podAddress} oifname eth0 snat to ${egressIp}
}
}
E`,
    )
    shell(
      gateway,
      `echo 1 >/proc/sys/net/ipv4/ip_forward
for f in all eth0; do echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/$f/send_redirects; done
ip route add ${egressIp}/32 via 172.18.0.${octets.source} dev eth0`,
    )
    const mac = shell(gateway, 'cat /sys/class/net/eth0/address').trim()
    shell(outpost, `ip neigh replace ${egressIp} lladdr ${mac} dev eth0 nud permanent`)
  })
}
