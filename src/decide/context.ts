import { interfacesByNode, withDedicatedAddresses } from './gateways/dedicated-addresses.ts'
import { type Exits, gatewaysByPolicy, type IneligibleNodes, nodesWithAddress } from './gateways/gateways.ts'
import { unhealthyNodes } from './gateways/health.ts'
import { namespaceNameLabel, serviceAccountKey } from './policies/label-keys.ts'
import { restrictionsOf } from './policies/network-policies.ts'
import type { Subject } from './policies/pod-selection.ts'
import { listPolicies, type Policy } from './policies/policies.ts'
import { slotsByNode } from './ports/slots.ts'
import type { Labels, World, WorldNode, WorldPod } from './world.ts'

/** Facts about the world that several steps need, computed once. */
export interface Context {
  readonly world: World
  readonly self: WorldNode
  /** The nodes that have an address, sorted by name. */
  readonly nodes: readonly WorldNode[]
  /** Sorted by age, the oldest first. */
  readonly policies: readonly Policy[]
  /** By policy id. */
  readonly exits: ReadonlyMap<bigint, Exits>
  readonly ineligible: IneligibleNodes
  readonly interfaces: ReturnType<typeof interfacesByNode>
  readonly slots: ReadonlyMap<string, number>
  readonly namespaceLabels: ReadonlyMap<string, Labels>
  readonly nodeLabels: ReadonlyMap<string, Labels>
  /** The NetworkPolicies that restrict what a pod sends. */
  readonly restrictions: ReturnType<typeof restrictionsOf>
}

export function gatherContext(world: World): Context {
  const self = world.nodes.find(({ name }) => name === world.self)
  if (self === undefined) throw new Error(`the cluster has no Node ${world.self}`)
  if (self.internalIPs.length === 0)
    throw new Error(`Node ${world.self} has no InternalIP in status.addresses`)
  const policies = withDedicatedAddresses(listPolicies(world), world)
  const nodes = nodesWithAddress(world.nodes)
  const interfaces = interfacesByNode(world)
  return {
    world,
    self,
    nodes,
    policies,
    ineligible: ineligibleNodes(world),
    interfaces,
    exits: gatewaysByPolicy(policies, nodes, interfaces),
    slots: slotsByNode(world.egressNodes),
    namespaceLabels: new Map(world.namespaces.map(({ name, labels }) => [name, labels])),
    nodeLabels: new Map(world.nodes.map(({ name, labels }) => [name, labels])),
    restrictions: restrictionsOf(world),
  }
}

/** Nodes that take no new flows: cordoned nodes, because they are about to be drained, and unreachable ones. */
export function ineligibleNodes(
  world: Pick<World, 'nodes' | 'egressNodes' | 'unreachableNodes' | 'reachableNodes'>,
): IneligibleNodes {
  const cordoned = world.nodes.filter(({ isCordoned }) => isCordoned).map(({ name }) => name)
  return new Set([...unreachableNodes(world), ...cordoned])
}

/**
 * This node's own probes are the first to know whether a gateway is reachable. The cluster's view counts for gateways that it
 * does not probe.
 */
export function unreachableNodes(
  world: Pick<World, 'nodes' | 'egressNodes' | 'unreachableNodes' | 'reachableNodes'>,
): ReadonlySet<string> {
  const unwell = [...unhealthyNodes(world)].filter((name) => !world.reachableNodes?.has(name))
  return new Set([...(world.unreachableNodes ?? []), ...unwell])
}

/** The policies that select a pod, the oldest first. */
export function selectingPolicies(context: Context, pod: WorldPod): readonly Policy[] {
  if (pod.hostNetwork) return []
  const subject = subjectOf(context, pod)
  return context.policies.filter(({ selections }) => selections.some(({ selects }) => selects(subject)))
}

/** The labels by which policies select a pod. */
export function subjectOf(context: Context, pod: WorldPod): Subject {
  return {
    pod: { ...pod.labels, [serviceAccountKey]: pod.serviceAccount ?? 'default' },
    namespace: { ...context.namespaceLabels.get(pod.namespace), [namespaceNameLabel]: pod.namespace },
    node: context.nodeLabels.get(pod.nodeName) ?? {},
  }
}
