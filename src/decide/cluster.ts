import { loopback } from '../api/egress-node.ts'
import { type Address, isLinkLocal, parseAddress } from '../net/address.ts'
import { contains, hostPrefix, type Prefix, parsePrefix } from '../net/prefix.ts'
import type { Context } from './context.ts'
import { tunnelAddressOf } from './gateways/gateways.ts'
import type { ClusterDestination, Tables } from './tables.ts'
import type { World, WorldNode } from './world.ts'

/**
 * Destinations to which no policy applies. A destination in this node's pod CIDR that is not one of its pods goes to the
 * stack, which rejects it. In chained mode the stack routes to all nodes and pods. The table still tells nodes from pods,
 * because no pod may send to a node's tunnel port.
 */
export function resolveCluster(
  context: Context,
  egressIps: Tables['egressIps'],
): ReadonlyMap<Prefix, ClusterDestination> {
  const { world, nodes, self } = context
  const cluster = new Map<Prefix, ClusterDestination>()
  const lingering = world.lingeringOrders
  const withUses = (address: Address) => ({
    ...(egressIps.has(address) || lingering?.has(address) ? { carriesFlows: true as const } : {}),
    ...withNodePorts(address, world),
  })
  for (const prefix of world.settings.nonMasqueradeCIDRs)
    cluster.set(prefix, { kind: world.settings.isChained ? 'stack' : 'routed' })
  for (const prefix of world.settings.stackCIDRs) cluster.set(prefix, { kind: 'stack' })
  /* What two nodes claim is this node's own, or else the first's by name. */
  const others = nodes.filter(({ name }) => name !== self.name).reverse()
  for (const node of others)
    for (const address of secondAddresses(node, context))
      cluster.set(hostPrefix(address), {
        kind: 'node',
        tunnelAddress: tunnelAddressOf(node),
        ...withUses(address),
      })
  for (const node of [...others, self]) {
    const isSelf = node.name === self.name
    const tunnelAddress = tunnelAddressOf(node)
    const byStack = isSelf || world.settings.isChained
    for (const prefix of node.podCIDRs)
      cluster.set(prefix, byStack ? { kind: 'stack' } : { kind: 'pods', tunnelAddress })
    if (isSelf)
      for (const address of world.ownAddresses ?? [])
        cluster.set(hostPrefix(address), { kind: 'host', ...withUses(address) })
    for (const address of node.internalIPs)
      cluster.set(hostPrefix(address), {
        ...(isSelf ? { kind: 'host' } : { kind: 'node', tunnelAddress }),
        ...withNodePorts(address, world),
      })
  }
  return cluster
}

function withNodePorts(address: Address, { settings }: World): { readonly takesNodePorts?: true } {
  const { replacesKubeProxy, nodePortAddresses = [] } = settings
  if (!replacesKubeProxy) return {}
  const isNamed = nodePortAddresses.length === 0 || nodePortAddresses.some((each) => contains(each, address))
  return isNamed ? { takesNodePorts: true } : {}
}

/**
 * Another node's addresses besides its InternalIPs. They count if they are on a link with one of its InternalIPs, on a link
 * of this node, or on the node's loopback device, where people put addresses that the whole network reaches. Any other
 * address, for example of a private bridge, may be another host's from this node's view. Its packets would then leave with
 * another address than their policy's.
 */
function secondAddresses(node: WorldNode, { interfaces, self }: Context): readonly Address[] {
  const own = linksOf(interfaces.get(self.name))
  const links = linksOf(interfaces.get(node.name)).filter((link) =>
    node.internalIPs.some((address) => contains(link, address)),
  )
  return (interfaces.get(node.name) ?? [])
    .flatMap(({ name, addresses, added = [] }) =>
      [...addresses, ...added]
        .flatMap((text) => parseAddress(text) ?? [])
        .filter((address) => name === loopback || [...own, ...links].some((link) => contains(link, address))),
    )
    .filter((address) => !isNear(address))
}

function linksOf(interfaces: ReturnType<Context['interfaces']['get']>): readonly Prefix[] {
  return (interfaces ?? []).flatMap(({ subnets = [] }) => subnets).flatMap((text) => parsePrefix(text) ?? [])
}

const linkLocal4 = parsePrefix('169.254.0.0/16')

/** A link-local address may belong to another host on each link. */
function isNear(address: Address): boolean {
  return isLinkLocal(address) || (linkLocal4 !== undefined && contains(linkLocal4, address))
}

/** The nodes that may send through the tunnel, this one included. */
export function resolveNodes({ nodes, slots }: Context): Tables['nodes'] {
  return new Map(
    nodes.map((node) => [tunnelAddressOf(node), { name: node.name, slot: slots.get(node.name) }]),
  )
}
