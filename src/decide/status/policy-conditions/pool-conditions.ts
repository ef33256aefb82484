import type { Address } from '../../../net/address.ts'
import { comparePrefixes, overlaps, type Prefix } from '../../../net/prefix.ts'
import type { Gateway } from '../../gateways/gateways.ts'
import type { Policy } from '../../policies/policies.ts'
import type { FoundConflict } from '../../pools/address-conflicts.ts'
import { isOfPool } from '../../pools/egress-pool.ts'
import type { TimelessCondition } from '../conditions.ts'

/** The first condition uses the words of IsovalentEgressGatewayPolicy, which its users know. */
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
          `egressCIDRs ${prefix} overlaps with egressCIDRs of the older policy ${winner.name}. The older policy keeps the addresses that both name. Remove the overlap from one of them.`,
        ]
  })
  return [
    unserved.length === 0
      ? { type, status: 'True', reason: 'noreason', message: 'allocation requests satisfied' }
      : {
          type,
          status: 'False',
          reason: 'PoolExhausted',
          message: `egressCIDRs has no address left for ${names}. Add addresses to egressCIDRs, or lower maxGatewayNodes.`,
        },
    ...(lost.length === 0
      ? []
      : [
          {
            type: 'EgressCIDRsOverlap',
            status: 'True',
            reason: 'OlderPolicyWins',
            message: lost.join(' '),
          } as const,
        ]),
  ]
}

/** Addresses of the pool that hosts outside the cluster have. No gateway gets them. */
export function conflictConditions(
  { egressPool }: Policy,
  olderPrefixes: readonly Prefix[],
  conflicts: ReadonlyMap<Address, FoundConflict>,
): readonly TimelessCondition[] {
  const pool = { prefixes: egressPool, olderPrefixes }
  const own = [...conflicts.values()].filter(({ address }) => isOfPool(pool, address))
  if (own.length === 0) return []
  const hosts = own.map(
    ({ address, mac, interface: link, node }) =>
      `Another host, with MAC ${mac}, has address ${address} of egressCIDRs on the network of interface ${link} of node ${node}.`,
  )
  const message = `${hosts.join(' ')} Sallyport does not use this address. Remove it from that host, or from egressCIDRs.`
  return [{ type: 'AddressConflict', status: 'True', reason: 'AnotherHostAnswers', message }]
}
