import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { restartApiServer, stopApiServer } from '../../src/lab/daemons/api-server.ts'
import { dockerRun } from '../../src/lab/docker/docker.ts'
import { startLab, stopLab } from '../../src/lab/lab.ts'
import { type LabState, loadLab, type RuntimeName, requireLab } from '../../src/lab/lab-state.ts'
import { type Machine, runInside } from '../../src/lab/machines/host.ts'
import { enterCommand, freeze, until } from '../../src/lab/machines/machine.ts'
import { exec } from '../../src/lab/shell.ts'
import { holdBinary } from './hold-program.ts'
import { dropFrames, heal, portOf } from './switch.ts'

/** A way for a gateway to die, or to be taken away. */
export interface Death {
  readonly way: string
  readonly happen: (cluster: Cluster) => unknown
  /** As it was before; absent where nothing can bring the node back. */
  readonly undo?: (cluster: Cluster) => unknown
  /** The operators and the API server are away when it happens. */
  readonly isAlone?: boolean
  /** No agent found a gateway unreachable, or all agents are new. */
  readonly isForgotten?: boolean
  /** For how long it goes on, where that is more than a moment. */
  readonly lastsSeconds?: number
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
const octets: Readonly<Record<string, number>> = { source: 2, gateway1: 3, gateway2: 4, gateway3: 5 }
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
    isForgotten: true,
    lastsSeconds: 10,
    happen: typed('kubectl -n kube-system rollout restart daemonset/cilium'),
    undo: typed('kubectl -n kube-system rollout status daemonset/cilium --timeout=60s'),
  },
  {
    way: 'node unlabelled',
    isForgotten: true,
    happen: typed(`kubectl label node ${gatewayInUse} egress-gw-`),
    undo: typed(`kubectl label node ${gatewayInUse} egress-gw=true`),
  },
  {
    way: 'node cordoned',
    isForgotten: true,
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

/** The switch drops some frames of the source node: as one with protection against spoofing does, or a firewall between nodes. */
const filtered = (match: string): Pick<Death, 'happen' | 'undo'> => ({
  happen: ({ state }) => dropFrames(state, 'filter', [`iifname ${portOf(state, 'source')} ${match}`]),
  undo: ({ state }) => heal(state, 'filter'),
})

/** One of the two paths to the gateway stops working. */
export const pathFailures: readonly Death[] = [
  { way: 'link path filtered', isForgotten: true, ...filtered('ip saddr 172.18.0.42') },
  { way: 'tunnel filtered', isForgotten: true, ...filtered('udp dport 8472') },
]

/** From now on, packets take the tunnel, also to gateways on the same link. */
export async function useTunnel({ type }: Cluster): Promise<void> {
  await type('cilium upgrade --set egressGateway.egressPath=tunnel && cilium status --wait')
  await until(
    'no node uses the link',
    async () => {
      const byLink = await type(`kubectl get egressnodes -o jsonpath='{.items[*].status.byLink[*]}'`)
      return byLink === ''
    },
    60_000,
  )
}

const policy = (addresses: string): string => `apiVersion: isovalent.com/v1
kind: IsovalentEgressGatewayPolicy
metadata: {name: failover}
spec:
  selectors: [{podSelector: {matchLabels: {org: alliance}}}]
  destinationCIDRs: [172.18.0.0/16]
${addresses}
`
const groups = (more: string): string =>
  `  egressGroups: [{nodeSelector: {matchLabels: {egress-gw: "true"}}${more}, maxGatewayNodes: 1}]`

export interface ClusterPlan {
  /** Two or three. */
  readonly gateways: number
  /** Without it the pod runs on the last gateway, and all nodes are gateways. */
  readonly hasSource: boolean
  /** Where egress IPs come from: the gateways' interface, or a pool that begins at 172.18.0.42. */
  readonly addresses: 'interface' | 'pool'
  /** How packets get to a gateway. By default as an installation has it: by the link. */
  readonly path?: 'auto' | 'tunnel'
  readonly runtime?: RuntimeName
}

const usualPlan: ClusterPlan = { gateways: 2, hasSource: true, addresses: 'interface' }

export async function setUpCluster(name: string, given: Partial<ClusterPlan> = {}): Promise<Cluster> {
  const plan = { ...usualPlan, ...given }
  const gateways = ['gateway1', 'gateway2', 'gateway3'].slice(0, plan.gateways)
  const podNode = plan.hasSource ? 'source' : (gateways.at(-1) ?? '')
  if (loadLab(name) !== undefined) await stopLab(name)
  await startLab({
    name,
    runtime: plan.runtime ?? 'processes',
    nodes: [...(plan.hasSource ? ['source'] : []), ...gateways].map((node) => ({
      name: node,
      lastOctet: octets[node] ?? 0,
      podCIDRs: [`10.244.${octets[node]}.0/24`],
      isControlPlane: false,
    })),
  })
  const type = async (command: string): Promise<string> => {
    const { code, output } = await exec(requireLab(name), ['bash', '-c', command])
    if (code !== 0) throw new Error(`${command}: ${output}`)
    return output.trim()
  }
  for (const [index, gateway] of gateways.entries()) {
    await type(`kubectl label node ${gateway} egress-gw=true`)
    if (plan.hasSource) await type(`kubectl taint node ${gateway} egress-gw:NoSchedule`)
    if (plan.addresses === 'interface')
      await type(
        `docker exec ${gateway} ip link add net0 type dummy && docker exec ${gateway} ip a add 172.18.0.${42 + index}/16 dev net0`,
      )
  }
  await type(
    `cilium install --set operator.replicas=1 --set egressGateway.egressPath=${plan.path ?? 'auto'} --set 'devices={eth+,net+}' && cilium status --wait`,
  )
  const addresses =
    plan.addresses === 'interface'
      ? groups(', interface: net0')
      : `${groups('')}\n  egressCIDRs: [172.18.0.42/31]`
  await type(`kubectl apply -f - <<'E'\n${policy(addresses)}E`)
  const place = JSON.stringify({ spec: { nodeName: podNode } })
  await type(`kubectl run pod --labels org=alliance --image docker.io/tgraf/netperf --overrides '${place}'`)
  await type('kubectl wait --for=condition=Ready pod/pod --timeout=30s')
  await dockerRun(requireLab(name), {
    name: 'outpost',
    image: 'busybox',
    environment: [],
    command: [holdBinary, 'serve', String(ports.base), String(ports.count), 'eth0'],
  })
  const state = requireLab(name)
  const source = state.nodes.find((node) => node.name === podNode)?.machine
  if (source === undefined) throw new Error('the node of the pod is gone')
  const netns = await netnsOf(type, source)
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

/** The name of the pod's network namespace: its node may run other pods. */
async function netnsOf(type: Cluster['type'], node: Machine): Promise<string> {
  const ip = await type(`kubectl get pod pod -o 'jsonpath={.status.podIP}'`)
  const names = runInside(node, ['sh', '-c', 'ls /run/netns']).trim().split('\n')
  const found = names.find((name) =>
    runInside(node, ['ip', '-n', name, '-o', 'address']).includes(`inet ${ip}/`),
  )
  if (found === undefined) throw new Error(`no network namespace of the node has ${ip}`)
  return found
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

/**
 * Agents remember for ten minutes which gateways were away, and wait longer each time before they trust one again. New agents
 * remember nothing, so what a test finds does not depend on those before it. A deleted pod's successor starts at once; a killed
 * container would wait longer each time. The nodes are asked, not the API server, because each kubectl costs as much as a process.
 */
export async function renewAgents(cluster: Cluster, nodes: readonly string[]): Promise<void> {
  const old = new Map(nodes.map((node) => [node, agentsOn(cluster, node)]))
  const pods = await cluster.type(
    `kubectl -n kube-system get pods -l k8s-app=cilium -o 'jsonpath={range .items[*]}{.spec.nodeName} {.metadata.name}{"\\n"}{end}'`,
  )
  const names = pods
    .split('\n')
    .filter((line) => nodes.includes(line.split(' ')[0] ?? ''))
    .map((line) => line.split(' ')[1] ?? '')
  await cluster.type(`kubectl -n kube-system delete pod ${names.join(' ')} --wait=false`)
  for (const node of nodes)
    await until(
      `${node} has a new agent that is ready`,
      () => hasNewAgent(cluster, node, old.get(node) ?? []),
      60_000,
    )
}

const agentsOn = (cluster: Cluster, node: string): readonly string[] =>
  inNode(cluster, node, 'pgrep -f "src/[a]gent/main.ts" || true')
    .split('\n')
    .filter((pid) => pid !== '')

/** The agents share the node's network and its port: only when the old one has ended is it the new one that answers. */
function hasNewAgent(cluster: Cluster, node: string, old: readonly string[]): boolean {
  const present = agentsOn(cluster, node)
  if (present.length === 0 || present.some((pid) => old.includes(pid))) return false
  return (
    inNode(
      cluster,
      node,
      'curl -sf --max-time 1 -o /dev/null http://127.0.0.1:9787/readyz && echo ready || true',
    ) === 'ready'
  )
}

const inNode = (cluster: Cluster, node: string, script: string): string =>
  runInside(machineOf(cluster, node), ['sh', '-c', script]).trim()

function signalOperators({ state }: Cluster, signal: 'STOP' | 'CONT'): void {
  for (const { machine } of state.nodes)
    runInside(machine, ['sh', '-c', `pkill -${signal} -f src/[o]perator/main.ts || true`])
}
