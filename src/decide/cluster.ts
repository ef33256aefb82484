import { type Address, familyOf } from '../net/address.ts'
import { type Prefix, parsePrefix } from '../net/prefix.ts'
import type { Context } from './context.ts'
import { tunnelAddressOf } from './gateways/gateways.ts'
import type { ClusterDestination, Tables } from './tables.ts'

/**
 * Destinations that no policy applies to. What is in this node's own pod CIDR but is none of its pods goes to the stack,
 * which refuses it. In chained mode the stack knows the way to all of them; nodes are told from pods all the same, because no
 * pod may speak to a node's tunnel.
 */
export function resolveCluster({ world, nodes, self }: Context): ReadonlyMap<Prefix, ClusterDestination> {
  const cluster = new Map<Prefix, ClusterDestination>()
  for (const prefix of [...world.settings.stackCIDRs, ...world.settings.nonMasqueradeCIDRs])
    cluster.set(prefix, { kind: 'stack' })
  /* What two nodes claim is this node's own, or else the first's by name. */
  const others = nodes.filter(({ name }) => name !== self.name).reverse()
  for (const node of [...others, self]) {
    const isSelf = node.name === self.name
    const tunnelAddress = tunnelAddressOf(node)
    const byStack = isSelf || world.settings.isChained
    for (const prefix of node.podCIDRs)
      cluster.set(prefix, byStack ? { kind: 'stack' } : { kind: 'pods', tunnelAddress })
    for (const address of node.internalIPs)
      cluster.set(hostPrefix(address), isSelf ? { kind: 'host' } : { kind: 'node', tunnelAddress })
  }
  return cluster
}

function hostPrefix(address: Address): Prefix {
  const prefix = parsePrefix(`${address}/${familyOf(address) === 4 ? 32 : 128}`)
  if (prefix === undefined) throw new TypeError(`${address} is no address`)
  return prefix
}

/** The nodes that may send through the tunnel, this one included. */
export function resolveNodes({ nodes, slots }: Context): Tables['nodes'] {
  return new Map(
    nodes.map((node) => [tunnelAddressOf(node), { name: node.name, slot: slots.get(node.name) }]),
  )
}
