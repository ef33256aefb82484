import type { EgressNode, NodeInterface } from '../api/egress-node.ts'
import type { World, WorldPod } from '../decide/world.ts'
import type { Reachability } from './failover/failover-views.ts'
import type { Attachment } from './pods/attachments.ts'

/**
 * The parts of a pod object that the agent keeps. Its phase is not among them, because its address counts as long as it has
 * one.
 */
export type ObservedPod = Omit<WorldPod, 'ips'>

/**
 * The world as this node decides by it. The node knows its pods' addresses itself. The API server learns them only after ADD
 * has returned, and by then every entry must be in place.
 */
export function composeWorld(
  observed: Omit<World, 'pods'>,
  observedPods: Iterable<ObservedPod>,
  attachments: readonly Attachment[],
): World {
  const byName = new Map([...observedPods].map((pod) => [`${pod.namespace}/${pod.name}`, pod]))
  const pods = attachments.flatMap(({ pod: { namespace, name, uid }, addresses }) => {
    const pod = byName.get(`${namespace}/${name}`)
    if (pod === undefined || pod.hostNetwork || (uid !== '' && pod.uid !== uid)) return []
    return [{ ...pod, ips: addresses }]
  })
  return { ...observed, pods }
}

interface OwnKnowledge
  extends Required<Pick<World, 'ownAddresses' | 'ownLeases' | 'lingeringOrders' | 'lingeringFromPools'>> {
  readonly sharesAddress: boolean
  /** False if the setting `egressGateway.enabled` turns all policies off. */
  readonly isEnabled: boolean
  readonly interfaces: readonly NodeInterface[]
  readonly reachability: Reachability
}

/** What the API server does not know yet, or another node does not see: this node's own view of itself and of gateways. */
export function withOwnKnowledge(
  observed: Omit<World, 'pods'>,
  { sharesAddress, isEnabled, interfaces, reachability, ...own }: OwnKnowledge,
): Omit<World, 'pods'> {
  return {
    ...observed,
    egressNodes: withOwnInterfaces(observed.egressNodes, observed.self, interfaces, sharesAddress),
    ciliumPolicies: isEnabled ? observed.ciliumPolicies : [],
    isovalentPolicies: isEnabled ? observed.isovalentPolicies : [],
    reachableNodes: new Set(reachability.reachable),
    unreachableNodes: new Set(reachability.unreachable),
    ...own,
  }
}

/**
 * This node's EgressNode with what the node knows itself, which is newer than its last report. So decisions about its own
 * addresses do not wait for the API server.
 */
function withOwnInterfaces(
  egressNodes: readonly EgressNode[],
  self: string,
  interfaces: readonly NodeInterface[],
  sharesAddress: boolean,
): EgressNode[] {
  const known = egressNodes.find(({ metadata }) => metadata.name === self)
  const own = {
    ...(known ?? { metadata: { name: self } }),
    status: { ...known?.status, interfaces: [...interfaces], sharesAddress },
  }
  return [...egressNodes.filter(({ metadata }) => metadata.name !== self), own]
}
