import { overlaps, type Prefix, parsePrefix, prefixLength } from '../../../net/prefix.ts'
import type { Policy } from '../../policies/policies.ts'
import type { World } from '../../world.ts'
import type { TimelessCondition } from '../conditions.ts'

const multicast = (['224.0.0.0/4', 'ff00::/8'] as const).map((text) => parsePrefix(text) as Prefix)

/** One condition for all likely mistakes. The policy is applied as it is written. */
export function remarkConditions(
  { remarks, destinations, problems }: Policy,
  { nodes }: Pick<World, 'nodes'>,
): readonly TimelessCondition[] {
  if (problems.length > 0) return []
  const pods = nodes.flatMap(({ podCIDRs }) => podCIDRs)
  const all = [...remarks, ...destinations.flatMap((prefix) => destinationRemarks(prefix, pods))]
  if (all.length === 0) return []
  return [{ type: 'LikelyMistake', status: 'True', reason: 'SeeMessage', message: all.join(' ') }]
}

/** A destination that is wholly inside a network that egress gateways do not serve. */
function destinationRemarks(prefix: Prefix, pods: readonly Prefix[]): readonly string[] {
  const isInside = (network: Prefix): boolean =>
    overlaps(network, prefix) && prefixLength(network) <= prefixLength(prefix)
  if (multicast.some(isInside))
    return [
      `destinationCIDRs has ${prefix}, which is multicast. Gateways forward only unicast traffic. Remove the prefix.`,
    ]
  const network = pods.find(isInside)
  return network === undefined
    ? []
    : [
        `destinationCIDRs has ${prefix}, which is inside the pod network ${network}. Traffic between pods uses no egress gateway. Remove the prefix.`,
      ]
}
