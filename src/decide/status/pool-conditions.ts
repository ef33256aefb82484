import { comparePrefixes, overlaps } from '../../net/prefix.ts'
import type { Gateway } from '../gateways/gateways.ts'
import type { Policy } from '../policies/policies.ts'
import type { TimelessCondition } from './conditions.ts'

/** The words of the first are those that users of this kind know. */
export function poolConditions(
  { egressPool }: Policy,
  unserved: readonly Gateway[],
  older: readonly Policy[],
): readonly TimelessCondition[] {
  if (egressPool.length === 0) return []
  const type = 'isovalent.com/IPAMRequestSatisfied'
  const names = unserved.map(({ node }) => node.name).join(', ')
  const lost = egressPool.toSorted(comparePrefixes).flatMap((prefix) => {
    const winner = older.find((each) => each.egressPool.some((other) => overlaps(prefix, other)))
    return winner === undefined
      ? []
      : [
          `${prefix} overlaps with egressCIDRs of the older policy ${winner.name}, which has the addresses that both name`,
        ]
  })
  return [
    unserved.length === 0
      ? { type, status: 'True', reason: 'noreason', message: 'allocation requests satisfied' }
      : {
          type,
          status: 'False',
          reason: 'PoolExhausted',
          message: `egressCIDRs have no address left for ${names}: give more addresses, or limit maxGatewayNodes`,
        },
    ...(lost.length === 0
      ? []
      : [
          {
            type: 'EgressCIDRsOverlap',
            status: 'True',
            reason: 'OlderPolicyWins',
            message: lost.join('; '),
          } as const,
        ]),
  ]
}
