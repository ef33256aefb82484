import type { Address } from '../../net/address.ts'
import type { Context } from '../context.ts'
import { contentId } from '../ids.ts'
import type { EgressIp } from '../tables.ts'
import type { WorldNode } from '../world.ts'
import { tunnelAddressOf, zoneLabel } from './gateways.ts'
import { sharesEgressIp, watchedGateways } from './takeover.ts'

/** One witness is enough to show that this node is not cut off. The others, in other zones, help if the first one fails. */
const maxWitnesses = 3

/**
 * Nodes that this node probes in addition to gateways, by tunnel address. Their answers show that this node is not cut off.
 * Only a node that shares an egress IP with others needs witnesses. An egress IP that only old flows use counts too. The
 * choice depends only on names and zones, so every node can compute the witnesses of every other node.
 */
export function resolveWitnesses(
  { world, nodes, self }: Pick<Context, 'world' | 'nodes' | 'self'>,
  egressIps: ReadonlyMap<Address, EgressIp>,
): readonly Address[] {
  const own = tunnelAddressOf(self)
  const current = [...egressIps].map(([address, { order }]) => [address, order] as const)
  const orders = new Map([...(world.lingeringOrders ?? []), ...current])
  if (!sharesEgressIp(orders, own)) return []
  const gateways = watchedGateways(orders, new Set(), own)
  const reporting = new Set(
    world.egressNodes
      .filter(({ status }) => status?.interfaces !== undefined)
      .map(({ metadata }) => metadata.name),
  )
  const candidates = nodes.filter(
    (node) =>
      node.name !== self.name &&
      node.isReady !== false &&
      reporting.has(node.name) &&
      !gateways.has(tunnelAddressOf(node)),
  )
  return inDifferentZones(rank(candidates, self.name)).slice(0, maxWitnesses).map(tunnelAddressOf)
}

function rank(nodes: readonly WorldNode[], self: string): readonly WorldNode[] {
  const rankOf = new Map(nodes.map((node) => [node, contentId('witness', self, node.name)]))
  return nodes.toSorted((a, b) => ((rankOf.get(a) ?? 0n) < (rankOf.get(b) ?? 0n) ? -1 : 1))
}

/** Moves the first node of each zone to the front, and keeps the order otherwise. */
function inDifferentZones(nodes: readonly WorldNode[]): readonly WorldNode[] {
  const zones = new Set<string | undefined>()
  const firsts = nodes.filter(({ labels }) => {
    const zone = labels[zoneLabel]
    if (zones.has(zone)) return false
    zones.add(zone)
    return true
  })
  return [...firsts, ...nodes.filter((node) => !firsts.includes(node))]
}
