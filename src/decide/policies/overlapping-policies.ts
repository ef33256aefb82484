import { comparePrefixes, contains, type Prefix, prefixAddress, prefixLength } from '../../net/prefix.ts'
import type { TimelessCondition } from '../status/conditions.ts'
import type { Policy } from './policies.ts'
import { type Claim, claimsByPrefix } from './rules.ts'

/**
 * What a policy says and older ones have the say in. Only where both could select the same pod does it matter; whether they
 * do is not for a status to find out.
 */
export function overlapConditions(
  policy: Policy,
  older: ReadonlyMap<Prefix, Claim>,
): readonly TimelessCondition[] {
  const own = claimsByPrefix([policy])
  const shadows = [...older]
    .filter(([prefix, { isExcluded }]) =>
      isExcluded ? takesFrom(policy, prefix, own.get(prefix)) : own.has(prefix),
    )
    .sort(([a], [b]) => comparePrefixes(a, b))
    .map(([prefix, claim]) => `For pods that both policies select, ${describeClaim(prefix, claim)}.`)
  return shadows.length === 0
    ? []
    : [{ type: 'Shadowed', status: 'True', reason: 'OlderPolicyWins', message: shadows.join(' ') }]
}

/** The most specific prefix counts: an exclusion inside a destination takes a part of it. */
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
