import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { dockerRun } from '../src/lab/docker/docker.ts'
import { runInside } from '../src/lab/host.ts'
import { restartApiServer, startLab, stopApiServer, stopLab } from '../src/lab/lab.ts'
import { type LabState, loadLab, type RuntimeName, requireLab } from '../src/lab/lab-state.ts'
import { enterCommand, freeze } from '../src/lab/machine.ts'
import { exec } from '../src/lab/shell.ts'
import { holdBinary } from './tools.ts'

/** A way for a gateway to die, or to be taken away. */
export interface Death {
  readonly way: string
  readonly happen: (cluster: Cluster) => unknown
  /** As it was before; absent where nothing can bring the node back. */
  readonly undo?: (cluster: Cluster) => unknown
  /** The operators and the API server are away when it happens. */
  readonly isAlone?: boolean
}

/** A lab with a source node and two gateways, of which one is in use. */
export interface Cluster {
  readonly state: LabState
  readonly type: (command: string) => Promise<string>
  /** Words that run a command in the pod's own network. */
  readonly inPod: (words: readonly string[]) => readonly string[]
  readonly remove: () => Promise<void>
}

export const ports = { base: 9100, count: 400 } as const
export const gatewayInUse = 'gateway1'
const octets = { source: 2, gateway1: 3, gateway2: 4 } as const
const bridgePort = `veth${octets.gateway1}`

export const machineOf = ({ state }: Cluster, name: string) => {
  const machine = state.nodes.find((node) => node.name === name)?.machine
  if (machine === undefined) throw new Error(`the lab has no node ${name}`)
  return machine
}

const setLink =
  (direction: 'up' | 'down') =>
  ({ state }: Cluster): unknown =>
    state.host && runInside(state.host, ['ip', 'link', 'set', bridgePort, direction])
const setFrozen =
  (isFrozen: boolean) =>
  (cluster: Cluster): unknown =>
    freeze(machineOf(cluster, gatewayInUse).cgroup, isFrozen)
const typed =
  (command: string) =>
  ({ type }: Cluster): unknown =>
    type(command)

const linkCut = { happen: setLink('down'), undo: setLink('up') }
const frozen = { happen: setFrozen(true), undo: setFrozen(false) }
const nothing = (): void => {}

export const deaths: readonly Death[] = [
  {
    way: 'agent killed',
    happen: (cluster) =>
      runInside(machineOf(cluster, gatewayInUse), ['pkill', '-KILL', '-f', 'src/[a]gent/main.ts']),
    undo: nothing,
  },
  {
    way: 'agents upgraded',
    happen: typed('kubectl -n kube-system rollout restart daemonset/cilium'),
    undo: typed('kubectl -n kube-system rollout status daemonset/cilium --timeout=60s'),
  },
  {
    way: 'node unlabelled',
    happen: typed(`kubectl label node ${gatewayInUse} egress-gw-`),
    undo: typed(`kubectl label node ${gatewayInUse} egress-gw=true`),
  },
  {
    way: 'node cordoned',
    happen: typed(`kubectl cordon ${gatewayInUse}`),
    undo: typed(`kubectl uncordon ${gatewayInUse}`),
  },
  { way: 'link cut', ...linkCut },
  { way: "node's processes frozen", ...frozen },
  { way: 'link cut, operator and API server away', ...linkCut, isAlone: true },
  { way: "node's processes frozen, operator and API server away", ...frozen, isAlone: true },
  {
    way: 'namespace deleted',
    happen: (cluster) => writeFileSync(join(machineOf(cluster, gatewayInUse).cgroup, 'cgroup.kill'), '1'),
  },
]

const policy = `apiVersion: isovalent.com/v1
kind: IsovalentEgressGatewayPolicy
metadata: {name: failover}
spec:
  selectors: [{podSelector: {matchLabels: {org: alliance}}}]
  destinationCIDRs: [172.18.0.0/16]
  egressGroups: [{nodeSelector: {matchLabels: {egress-gw: "true"}}, interface: net0, maxGatewayNodes: 1}]
`

export async function setUpCluster(name: string, runtime: RuntimeName = 'processes'): Promise<Cluster> {
  if (loadLab(name) !== undefined) await stopLab(name)
  await startLab({
    name,
    runtime,
    nodes: Object.entries(octets).map(([node, lastOctet]) => ({
      name: node,
      lastOctet,
      podCIDRs: [`10.244.${lastOctet}.0/24`],
      isControlPlane: false,
    })),
  })
  const type = async (command: string): Promise<string> => {
    const { code, output } = await exec(requireLab(name), ['bash', '-c', command])
    if (code !== 0) throw new Error(`${command}: ${output}`)
    return output.trim()
  }
  for (const [index, gateway] of ['gateway1', 'gateway2'].entries()) {
    await type(
      `kubectl label node ${gateway} egress-gw=true && kubectl taint node ${gateway} egress-gw:NoSchedule`,
    )
    await type(
      `docker exec ${gateway} ip link add net0 type dummy && docker exec ${gateway} ip a add 172.18.0.${42 + index}/16 dev net0`,
    )
  }
  await type("cilium install --set operator.replicas=1 --set 'devices={eth+,net+}' && cilium status --wait")
  await type(`kubectl apply -f - <<'E'\n${policy}E`)
  await type('kubectl run pod --labels org=alliance --image docker.io/tgraf/netperf')
  await type('kubectl wait --for=condition=Ready pod/pod --timeout=30s')
  await dockerRun(requireLab(name), {
    name: 'outpost',
    image: 'busybox',
    environment: [],
    command: [holdBinary, 'serve', String(ports.base), String(ports.count), 'eth0'],
  })
  const state = requireLab(name)
  const source = state.nodes.find((node) => node.name === 'source')?.machine
  if (source === undefined) throw new Error('the source node is gone')
  const netns = runInside(source, ['sh', '-c', 'ls /run/netns']).trim()
  return {
    state,
    type,
    inPod: (words) =>
      enterCommand(
        source.init.pid,
        ['mount', 'net'],
        ['nsenter', `--net=/run/netns/${netns}`, '--', ...words],
      ),
    remove: () => stopLab(name),
  }
}

/** Takes the control plane away: what happens next nobody arranges. */
export async function leaveAlone(cluster: Cluster): Promise<void> {
  signalOperators(cluster, 'STOP')
  await stopApiServer(cluster.state.name)
}

export async function comeBack(cluster: Cluster): Promise<void> {
  await restartApiServer(cluster.state.name)
  signalOperators(cluster, 'CONT')
}

function signalOperators({ state }: Cluster, signal: 'STOP' | 'CONT'): void {
  for (const { machine } of state.nodes)
    runInside(machine, ['sh', '-c', `pkill -${signal} -f src/[o]perator/main.ts || true`])
}
