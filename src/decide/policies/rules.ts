import { covers, type Prefix } from '../../net/prefix.ts'
import type { Policy } from './policies.ts'

/** What a policy says about a prefix. */
export interface Claim {
  readonly policy: Policy
  readonly isExcluded: boolean
}

/**
 * The policy that decides for each prefix. The policies must be sorted by age, the oldest first. The datapath takes the most
 * specific prefix. For equal prefixes the older policy wins, and inside one policy the exclusion.
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
 * An exclusion removes a part of its own policy's destinations. An exclusion outside all of them has no effect, because it
 * must not free traffic that another policy sends through a gateway.
 */
function effectiveExclusions({ destinations, exclusions }: Policy): readonly Prefix[] {
  return exclusions.filter((exclusion) => destinations.some((each) => covers(each, exclusion)))
}
