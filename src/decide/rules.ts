import { overlaps, type Prefix, prefixLength } from '../net/prefix.ts'
import type { Policy } from './policies.ts'

/** What a policy says about a prefix. */
export type Claim = { readonly policy: Policy; readonly isExcluded: boolean }

/**
 * Which policy speaks for each prefix, of policies sorted oldest first. The datapath takes the most specific prefix; for
 * equal ones the older policy counts, and inside one policy the exclusion. An exclusion stands only where it lies inside
 * one of its policy's destinations: elsewhere it would take another policy's traffic out.
 */
export function claimsByPrefix(policies: readonly Policy[]): ReadonlyMap<Prefix, Claim> {
  const claims = new Map<Prefix, Claim>()
  for (const policy of policies)
    for (const [prefix, isExcluded] of prefixesOf(policy))
      if (!claims.has(prefix)) claims.set(prefix, { policy, isExcluded })
  return claims
}

function prefixesOf(policy: Policy): ReadonlyMap<Prefix, boolean> {
  const { destinations, exclusions } = policy
  const prefixes = new Map<Prefix, boolean>()
  for (const destination of destinations) {
    const covering = exclusions.some(
      (each) => overlaps(each, destination) && prefixLength(each) <= prefixLength(destination),
    )
    prefixes.set(destination, covering)
  }
  for (const exclusion of exclusions)
    if (
      destinations.some((each) => overlaps(each, exclusion) && prefixLength(each) <= prefixLength(exclusion))
    )
      prefixes.set(exclusion, true)
  return prefixes
}
