import { familyOfPrefix } from '../../../net/prefix.ts'
import { type Exits, hasEgressIp } from '../../gateways/gateways.ts'
import type { Policy } from '../../policies/policies.ts'
import { type FindUnserved, findUnservedOf } from '../../policies/unserved-networks.ts'
import type { TimelessCondition } from '../conditions.ts'
import { inFull, unroutedIpv6 } from './gateway-losses.ts'
import type { Problem } from './gateway-problems.ts'

/** One text for each destination to which no policy applies. */
function unservedTexts(policy: Policy, find: FindUnserved): readonly string[] {
  const findOf = findUnservedOf(policy, find)
  return policy.destinations.flatMap((destination) => {
    const unserved = findOf(destination)
    if (unserved === undefined) return []
    const { what, effect, remedy } = unserved
    return [
      `destinationCIDRs has ${destination}, which is inside ${what}. No policy applies there: ${effect}. ${remedy}.`,
    ]
  })
}

/** Packets to these destinations have another address than lists of the policy's gateways show. */
export function unservedDestinationConditions(
  policy: Policy,
  find: FindUnserved,
): readonly TimelessCondition[] {
  if (policy.problems.length > 0) return []
  const texts = unservedTexts(policy, find)
  if (texts.length === 0) return []
  const reason = texts.length === policy.destinations.length ? 'AllDestinations' : 'SomeDestinations'
  return [{ type: 'DestinationsNotServed', status: 'True', reason, message: texts.join(' ') }]
}

/** The policy is not ready if none of its destinations is served. */
export function destinationProblems(policy: Policy, exits: Exits, find: FindUnserved): readonly Problem[] {
  const { destinations, problems } = policy
  if (problems.length > 0 || destinations.length === 0) return []
  const texts = unservedTexts(policy, find)
  if (texts.length === destinations.length)
    return [{ reason: 'DestinationsNotServed', message: `The policy has no effect. ${texts.join(' ')}` }]
  return familyProblems(policy, exits)
}

/** Gateways without any egress IP have a problem of their own. */
function familyProblems({ destinations }: Policy, exits: Exits): readonly Problem[] {
  const gateways = exits.flat()
  const families = [...new Set(destinations.map(familyOfPrefix))]
  const isServed = families.some((family) =>
    gateways.some(({ egressIps }) => egressIps[family] !== undefined),
  )
  if (isServed || !gateways.some(hasEgressIp)) return []
  const named = families.map((family) => `IPv${family}`).join(' and ')
  const unrouted = families.includes(6) ? unroutedIpv6(gateways).map(inFull) : []
  const remedy =
    unrouted.length > 0 ? unrouted.join(' ') : `Add an ${named} address to a gateway, or change the prefixes.`
  return [
    {
      reason: 'NoEgressIP',
      message: `destinationCIDRs has only ${named} prefixes, and no gateway has an ${named} egress IP. Sallyport drops the traffic that the policy selects. ${remedy}`,
    },
  ]
}
