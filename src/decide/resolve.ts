import type { NodeInterface } from '../api/egress-node.ts'
import { type Address, compareAddresses, familyOf } from '../net/address.ts'
import { blocksOfRange, regions } from '../net/ports.ts'
import { familyOfPrefix, type Prefix, parsePrefix } from '../net/prefix.ts'
import {
  type Exits,
  type Gateway,
  gatewaysForPod,
  gatewaysOf,
  interfacesByNode,
  tunnelAddressOf,
  zoneLabel,
} from './gateways.ts'
import { contentId } from './ids.ts'
import { listPolicies, type PodSelection, type Policy } from './policies.ts'
import { type BlockOwners, floorOwners, leasesByAddress, ownAddressOwners } from './port-owners.ts'
import { type Claim, claimsByPrefix } from './rules.ts'
import { matches } from './select.ts'
import { slotsByNode } from './slots.ts'
import type { ClusterDestination, EgressIp, Pool, Rule, Self, Tables } from './tables.ts'
import type { Labels, World, WorldNode, WorldPod } from './world.ts'

/** What several steps need of the world, worked out once. */
interface Context {
  readonly world: World
  readonly self: WorldNode
  readonly zone: string | undefined
  readonly policies: readonly Policy[]
  readonly exits: ReadonlyMap<bigint, Exits>
  readonly slots: ReadonlyMap<string, number>
  readonly namespaceLabels: ReadonlyMap<string, Labels>
  readonly nodeLabels: ReadonlyMap<string, Labels>
}

/**
 * Every flow decision that this node needs, from what the API server says and nothing else.
 * A policy that cannot be honoured yields a drop, never a missing entry: absence would let the pod
 * out under its node's own address, the one thing this project promises not to do.
 *
 * Throws where this node itself is not in the world yet, or has no address: nothing can be decided then.
 */
export function resolve(world: World): Tables {
  const context = gatherContext(world)
  const groups = new Map<bigint, readonly Address[]>()
  const rules = new Map<bigint, ReadonlyMap<Prefix, Rule>>()
  const podsByIp = new Map<Address, { policySet: bigint; podUid: string }>()
  for (const pod of world.pods) {
    if (pod.hostNetwork || pod.nodeName !== world.self) continue
    const policySet = resolvePod(context, pod, groups, rules)
    for (const address of pod.ips) podsByIp.set(address, { policySet, podUid: pod.uid })
  }
  const egressIps = resolveEgressIps(context)
  return {
    podsByIp,
    cluster: resolveCluster(context),
    rules,
    groups,
    egressIps,
    pools: resolvePools(context, egressIps),
    nodes: resolveNodes(context),
    policies: new Map(context.policies.map(({ id, kind, name }) => [id, { kind, name }])),
    self: describeSelf(context),
  }
}

export function gatherContext(world: World): Context {
  const self = world.nodes.find(({ name }) => name === world.self)
  if (self === undefined) throw new Error(`node ${world.self} is not among the cluster's nodes`)
  if (self.internalIPs.length === 0)
    throw new Error(`node ${world.self} has no InternalIP in its status.addresses`)
  const policies = listPolicies(world)
  const interfaces = interfacesByNode(world)
  return {
    world,
    self,
    zone: self.labels[zoneLabel],
    policies,
    exits: new Map(policies.map((policy) => [policy.id, exitsOf(policy, world.nodes, interfaces)])),
    slots: slotsByNode(world.egressNodes),
    namespaceLabels: new Map(world.namespaces.map(({ name, labels }) => [name, labels])),
    nodeLabels: new Map(world.nodes.map(({ name, labels }) => [name, labels])),
  }
}

function exitsOf(
  policy: Policy,
  nodes: readonly WorldNode[],
  interfaces: ReadonlyMap<string, readonly NodeInterface[]>,
): Exits {
  return policy.exits.map((exit) => gatewaysOf(exit, nodes, interfaces))
}

/* ---- pods, rules, groups ---- */

/** The pod's policy set, entered in `rules` and `groups` if it is new. 0n where no policy selects the pod. */
function resolvePod(
  context: Context,
  pod: WorldPod,
  groups: Map<bigint, readonly Address[]>,
  rules: Map<bigint, ReadonlyMap<Prefix, Rule>>,
): bigint {
  const selecting = context.policies.filter((policy) => selectsPod(policy, pod, context))
  if (selecting.length === 0) return 0n
  const choices = new Map(selecting.map((policy) => [policy.id, chooseGateways(context, policy, pod)]))
  const policySet = contentId('policySet', ...selecting.map(({ id }) => `${id}/${keyOf(choices.get(id))}`))
  if (rules.has(policySet)) return policySet
  const byPrefix = new Map<Prefix, Rule>()
  for (const [prefix, claim] of claimsByPrefix(selecting))
    byPrefix.set(prefix, resolveRule(prefix, claim, choices.get(claim.policy.id) ?? [], groups))
  rules.set(policySet, byPrefix)
  return policySet
}

function chooseGateways(context: Context, policy: Policy, pod: WorldPod): readonly Gateway[] {
  return gatewaysForPod(policy, context.exits.get(policy.id) ?? [], pod, context.zone)
}

/** Pods of one policy set agree on the gateways, too: with `spread: one` their UIDs may not. */
function keyOf(gateways: readonly Gateway[] | undefined): string {
  return (gateways ?? [])
    .map(({ node, egressIps }) => `${node.name}=${egressIps[4]},${egressIps[6]}`)
    .join(' ')
}

export function selectsPod(
  policy: Policy,
  pod: WorldPod,
  context: Pick<Context, 'namespaceLabels' | 'nodeLabels'>,
): boolean {
  if (pod.hostNetwork) return false
  const podLabels = { ...pod.labels, 'io.kubernetes.pod.namespace': pod.namespace }
  const namespaceLabels = context.namespaceLabels.get(pod.namespace) ?? {}
  const nodeLabels = context.nodeLabels.get(pod.nodeName) ?? {}
  return policy.selections.some(
    ({ pods, namespaces, nodes }: PodSelection) =>
      matches(pods, podLabels) &&
      (namespaces === undefined || matches(namespaces, namespaceLabels)) &&
      (nodes === undefined || matches(nodes, nodeLabels)),
  )
}

function resolveRule(
  prefix: Prefix,
  { policy, isExcluded }: Claim,
  gateways: readonly Gateway[],
  groups: Map<bigint, readonly Address[]>,
): Rule {
  if (policy.problems.length > 0) return { action: 'drop', reason: 'DROP_POLICY_INVALID', policy: policy.id }
  if (isExcluded) return { action: 'exclude', policy: policy.id }
  if (gateways.length === 0) return { action: 'drop', reason: 'DROP_NO_GATEWAY', policy: policy.id }
  const egressIps = [
    ...new Set(gateways.flatMap((gateway) => gateway.egressIps[familyOfPrefix(prefix)] ?? [])),
  ].sort(compareAddresses)
  if (egressIps.length === 0) return { action: 'drop', reason: 'DROP_NO_EGRESS_IP', policy: policy.id }
  const group = contentId('group', ...egressIps)
  groups.set(group, egressIps)
  return { action: 'egress', group, policy: policy.id }
}

/* ---- egress IPs and ports ---- */

/** Every egress IP of every policy, whoever uses it: any node may be asked to answer for one. And this node's own. */
function resolveEgressIps(context: Context): ReadonlyMap<Address, EgressIp> {
  const { world, self } = context
  const leases = leasesByAddress(world.egressAddresses)
  const nodeByAddress = new Map(
    world.nodes.flatMap((node) => node.internalIPs.map((address) => [address, node])),
  )
  const ownersOf = (address: Address): BlockOwners => {
    const node = nodeByAddress.get(address)
    if (node === undefined) return floorOwners(world.settings.slots, leases.get(address))
    return ownAddressOwners(world.settings.slots, node.name === self.name)
  }
  const egressIps = new Map<Address, EgressIp>()
  for (const address of masqueradeAddresses(self))
    egressIps.set(address, { order: [tunnelAddressOf(self)], blockOwner: ownersOf(address) })
  for (const [address, order] of ordersByAddress(context))
    egressIps.set(address, { order, blockOwner: ownersOf(address) })
  return egressIps
}

/** Most answers that the datapath keeps for an address: MAX_HOLDERS of bpf/types.h. */
const mostHolders = 8

/** Who answers for each egress IP: the nodes whose address it is, in the order of their names. */
function ordersByAddress(context: Context): ReadonlyMap<Address, readonly Address[]> {
  const holders = new Map<Address, Map<string, WorldNode>>()
  for (const exits of context.exits.values())
    for (const { node, egressIps } of exits.flat())
      for (const address of [egressIps[4], egressIps[6]])
        if (address !== undefined) {
          const nodes = holders.get(address) ?? new Map<string, WorldNode>()
          holders.set(address, nodes.set(node.name, node))
        }
  return new Map(
    [...holders].map(([address, nodes]) => {
      const sorted = [...nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
      return [address, sorted.slice(0, mostHolders).map(tunnelAddressOf)]
    }),
  )
}

function masqueradeAddresses(self: WorldNode): readonly Address[] {
  return ([4, 6] as const).flatMap(
    (family) => self.internalIPs.find((address) => familyOf(address) === family) ?? [],
  )
}

/** The blocks that this node may take ports from. */
function resolvePools(context: Context, egressIps: ReadonlyMap<Address, EgressIp>): readonly Pool[] {
  const slot = context.slots.get(context.self.name)
  const pools: Pool[] = masqueradeAddresses(context.self).map((address) => ({
    address,
    purpose: 'masquerade',
    blocks: blocksOfRange(regions.masquerade),
  }))
  if (slot === undefined) return pools
  for (const [address, { blockOwner }] of egressIps) {
    const blocks = blockOwner.flatMap((owner, block) => (owner === slot ? [block] : []))
    if (blocks.length > 0) pools.push({ address, purpose: 'egress', blocks })
  }
  return pools
}

/* ---- the cluster ---- */

function hostPrefix(address: Address): Prefix {
  return parsePrefix(`${address}/${familyOf(address) === 4 ? 32 : 128}`) as Prefix
}

/** Destinations that no policy applies to. What is in a node's pod CIDR but no pod of this node goes to the stack, which refuses it. */
function resolveCluster({ world, self }: Context): ReadonlyMap<Prefix, ClusterDestination> {
  const cluster = new Map<Prefix, ClusterDestination>()
  for (const prefix of [...world.settings.stackCIDRs, ...world.settings.nonMasqueradeCIDRs])
    cluster.set(prefix, { kind: 'stack' })
  for (const node of world.nodes) {
    if (node.internalIPs.length === 0) continue
    const isSelf = node.name === self.name
    const tunnelAddress = tunnelAddressOf(node)
    for (const prefix of node.podCIDRs)
      cluster.set(prefix, isSelf ? { kind: 'stack' } : { kind: 'node', tunnelAddress })
    for (const address of node.internalIPs)
      cluster.set(hostPrefix(address), isSelf ? { kind: 'host' } : { kind: 'node', tunnelAddress })
  }
  return cluster
}

function resolveNodes({ world, slots }: Context): Tables['nodes'] {
  return new Map(
    world.nodes
      .filter(({ internalIPs }) => internalIPs.length > 0)
      .map((node) => [tunnelAddressOf(node), { name: node.name, slot: slots.get(node.name) }]),
  )
}

function describeSelf({ self, slots }: Context): Self {
  const ofFamily = (family: 4 | 6) =>
    masqueradeAddresses(self).find((address) => familyOf(address) === family)
  return {
    tunnelAddress: tunnelAddressOf(self),
    masquerade4: ofFamily(4),
    masquerade6: ofFamily(6),
    slot: slots.get(self.name),
  }
}
