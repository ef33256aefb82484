import { comparePrefixes, contains, type Prefix, prefixAddress, prefixLength } from '../../net/prefix.ts'
import type { TimelessCondition } from '../status/conditions.ts'
import { canSelectSamePod } from './pod-selection.ts'
import type { Policy } from './policies.ts'
import { type Claim, claimsByPrefix } from './rules.ts'

/** The claims of older policies for each prefix, the oldest first. */
export type OlderClaims = Map<Prefix, Claim[]>

export function addClaims(older: OlderClaims, policy: Policy): void {
  for (const [prefix, claim] of claimsByPrefix([policy])) {
    const known = older.get(prefix)
    if (known === undefined) older.set(prefix, [claim])
    else known.push(claim)
  }
}

/** Conditions for destinations that an older policy claims, if both policies can select the same pod. */
export function overlapConditions(policy: Policy, older: OlderClaims): readonly TimelessCondition[] {
  const own = claimsByPrefix([policy])
  const shadows = [...older]
    .flatMap(([prefix, claims]) => {
      const winner = claims.find(
        ({ policy: other, isExcluded }) =>
          (isExcluded ? takesFrom(policy, prefix, own.get(prefix)) : own.has(prefix)) &&
          canSelectSamePod(other.selections, policy.selections),
      )
      return winner === undefined ? [] : [[prefix, winner] as const]
    })
    .sort(([a], [b]) => comparePrefixes(a, b))
    .map(([prefix, claim]) => `For pods that both policies select, ${describeClaim(prefix, claim)}.`)
  return shadows.length === 0
    ? []
    : [{ type: 'Shadowed', status: 'True', reason: 'OlderPolicyWins', message: shadows.join(' ') }]
}

/** The most specific prefix counts, so an exclusion inside a destination removes a part of it. */
function takesFrom({ destinations }: Policy, excluded: Prefix, own: Claim | undefined): boolean {
  return own === undefined
    ? destinations.some(
        (each) => prefixLength(each) < prefixLength(excluded) && contains(each, prefixAddress(excluded)),
      )
    : !own.isExcluded
}

function describeClaim(prefix: Prefix, { policy: { kind, name }, isExcluded }: Claim): string {
  return isExcluded
    ? `the older ${kind} ${name} excludes ${prefix}, so this traffic leaves as if no policy selected it`
    : `traffic to ${prefix} follows the older ${kind} ${name}`
}
