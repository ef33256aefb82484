import { overlaps, type Prefix, parsePrefix, prefixLength } from '../../net/prefix.ts'
import type { Policy } from '../policies/policies.ts'
import type { World } from '../world.ts'
import type { TimelessCondition } from './conditions.ts'

const multicast = (['224.0.0.0/4', 'ff00::/8'] as const).map((text) => parsePrefix(text) as Prefix)

/** What is likely not meant, in one condition: the policy is honoured as it is written. */
export function remarkConditions(
  { remarks, destinations, problems }: Policy,
  { nodes }: Pick<World, 'nodes'>,
): readonly TimelessCondition[] {
  if (problems.length > 0) return []
  const pods = nodes.flatMap(({ podCIDRs }) => podCIDRs)
  const all = [...remarks, ...destinations.flatMap((prefix) => destinationRemarks(prefix, pods))]
  if (all.length === 0) return []
  return [{ type: 'LikelyMistake', status: 'True', reason: 'SeeMessage', message: all.join('; ') }]
}

/** A destination that is wholly inside a network that egress gateways do not serve. */
function destinationRemarks(prefix: Prefix, pods: readonly Prefix[]): readonly string[] {
  const isInside = (network: Prefix): boolean =>
    overlaps(network, prefix) && prefixLength(network) <= prefixLength(prefix)
  if (multicast.some(isInside))
    return [`destination ${prefix} is multicast: gateways forward traffic to single hosts only`]
  const network = pods.find(isInside)
  return network === undefined
    ? []
    : [
        `destination ${prefix} is in the pods' network ${network}: traffic between pods needs no egress gateway`,
      ]
}
