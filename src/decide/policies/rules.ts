import { overlaps, type Prefix, prefixLength } from '../../net/prefix.ts'
import type { Policy } from './policies.ts'

/** What a policy says about a prefix. */
export interface Claim {
  readonly policy: Policy
  readonly isExcluded: boolean
}

/**
 * Which policy speaks for each prefix, of policies sorted oldest first. The datapath takes the most specific prefix; for
 * equal ones the older policy counts, and inside one policy the exclusion.
 */
export function claimsByPrefix(policies: readonly Policy[]): ReadonlyMap<Prefix, Claim> {
  const claims = new Map<Prefix, Claim>()
  for (const policy of policies) {
    for (const prefix of effectiveExclusions(policy))
      if (!claims.has(prefix)) claims.set(prefix, { policy, isExcluded: true })
    for (const prefix of policy.destinations)
      if (!claims.has(prefix)) claims.set(prefix, { policy, isExcluded: false })
  }
  return claims
}

/**
 * An exclusion takes something out of its own policy's destinations. Where it lies outside all of them it has nothing to
 * take, and must not free traffic that another policy sends through a gateway.
 */
function effectiveExclusions({ destinations, exclusions }: Policy): readonly Prefix[] {
  return exclusions.filter((exclusion) =>
    destinations.some((each) => overlaps(each, exclusion) && prefixLength(each) <= prefixLength(exclusion)),
  )
}
