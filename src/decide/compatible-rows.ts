import { type Address, compareAddresses, familyOf } from '../net/address.ts'
import { comparePrefixes, familyOfPrefix, type Prefix } from '../net/prefix.ts'
import { gatewaysForPod, tunnelAddressOf, zoneLabel } from './gateways.ts'
import { gatherContext, selectsPod } from './resolve.ts'
import { claimsByPrefix } from './rules.ts'
import type { World, WorldPod } from './world.ts'

/** A row of `bpf egress list`, as its users know it. */
export interface CompatibleRow {
  readonly SourceIP: string
  readonly DestCIDR: string
  readonly EgressIP: string
  readonly GatewayIP: string
}

const unspecified = { 4: '0.0.0.0', 6: '::' } as const

/**
 * The view that users of the compatible kinds have of a node: its own selected pods, and the pods of other nodes, with the
 * egress IP only where this node is the gateway. `world.pods` holds the pods of all nodes.
 */
export function compatibleRows(world: World): readonly CompatibleRow[] {
  const context = gatherContext(world)
  const zoneOf = new Map(world.nodes.map(({ name, labels }) => [name, labels[zoneLabel]]))
  const ownAddress = tunnelAddressOf(context.self)
  const rows = world.pods.flatMap((pod) => {
    const selecting = context.policies.filter((policy) => selectsPod(policy, pod, context))
    return [...claimsByPrefix(selecting)].flatMap(([prefix, { policy, isExcluded }]) => {
      const exits = context.exits.get(policy.id) ?? []
      const gateways = isExcluded ? [] : gatewaysForPod(policy, exits, pod, zoneOf.get(pod.nodeName))
      const family = familyOfPrefix(prefix)
      const listed =
        gateways.length === 0
          ? [{ egressIp: unspecified[family], gateway: isExcluded ? 'Excluded CIDR' : 'Not Found' }]
          : gateways.map(({ node, egressIps }) => {
              const gateway = tunnelAddressOf(node)
              return {
                egressIp: (gateway === ownAddress && egressIps[family]) || unspecified[family],
                gateway,
              }
            })
      return sourcesOf(pod, prefix).flatMap((source) => listed.map((each) => ({ source, prefix, ...each })))
    })
  })
  return rows
    .sort((a, b) => compareAddresses(a.source, b.source) || comparePrefixes(a.prefix, b.prefix))
    .map(({ source, prefix, egressIp, gateway }) => ({
      SourceIP: source,
      DestCIDR: prefix,
      EgressIP: egressIp,
      GatewayIP: gateway,
    }))
}

function sourcesOf(pod: WorldPod, prefix: Prefix): readonly Address[] {
  return pod.ips.filter((address) => familyOf(address) === familyOfPrefix(prefix))
}
