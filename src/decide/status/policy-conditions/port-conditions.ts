import type { EgressAddress } from '../../../api/egress-address.ts'
import { parseAddress } from '../../../net/address.ts'
import type { Exits } from '../../gateways/gateways.ts'
import type { ReasonOf, TimelessCondition } from '../conditions.ts'

const reasons: readonly ReasonOf<'PortsExhausted'>[] = ['PodHoldsMost', 'NoPortsLeft']

/**
 * A condition if nodes lack ports of an egress IP that new connections of the policy get. The policy stays ready, because only
 * connections to busy destinations are dropped, and open ones continue.
 */
export function portConditions(
  active: Exits,
  egressAddresses: readonly EgressAddress[],
): readonly TimelessCondition[] {
  const used = new Set(active.flat().flatMap(({ egressIps }) => Object.values(egressIps)))
  const short = egressAddresses.flatMap(({ spec, status }) => {
    const address = parseAddress(spec.address)
    const told = status?.conditions?.find(({ type }) => type === 'Exhausted')
    const reason = reasons.find((each) => each === told?.reason)
    if (spec.isShort !== true || told === undefined || reason === undefined) return []
    return address !== undefined && used.has(address) ? [{ address, reason, message: told.message }] : []
  })
  const [first] = short
  if (first === undefined) return []
  const message = short.map((each) => `Egress IP ${each.address}: ${each.message}`).join(' ')
  return [{ type: 'PortsExhausted', status: 'True', reason: first.reason, message }]
}
