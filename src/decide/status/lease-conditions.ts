import type { AddressPlan } from '../ports/lease-grants.ts'
import type { TimelessCondition } from './conditions.ts'
import type { EventText } from './events.ts'

/** People are told while there is still something left: less than an eighth. */
const fewLeft = 8

/** How much of an egress IP is left to lease. The words change at thresholds alone, so that the status does, too. */
export function exhaustion({
  leasable,
  left,
  isShort,
}: Pick<AddressPlan, 'leasable' | 'left' | 'isShort'>): TimelessCondition {
  const type = 'Exhausted'
  if (left === 0)
    return {
      type,
      status: 'True',
      reason: 'NoPortsLeft',
      message: isShort
        ? 'Nodes need more ports than this egress IP has. New connections to a destination are dropped when the node has no free port for it. Add an egress IP to the policy.'
        : 'All leasable ports of this egress IP are leased. Add an egress IP to the policy.',
    }
  if (left * fewLeft < leasable)
    return {
      type,
      status: 'False',
      reason: 'FewPortsLeft',
      message:
        'Fewer than one eighth of the leasable ports of this egress IP are free. Add an egress IP to the policy.',
    }
  return { type, status: 'False', reason: 'PortsLeft', message: 'This egress IP has ports left to lease.' }
}

/** Present only while gateways are behind for longer than it takes them. */
export function gatewayBehind(gateways: readonly string[]): readonly TimelessCondition[] {
  if (gateways.length === 0) return []
  const message = `The latest leases are not confirmed by ${gateways.join(' and ')}, so nodes do not use them yet. Check that the agent of each gateway named here runs and reaches the API server.`
  return [{ type: 'Unconfirmed', status: 'True', reason: 'GatewayBehind', message }]
}

type Seen = { readonly type: string; readonly reason: string }

/** What a person wants to hear of: that ports become few, or are gone, and that there are enough again. */
export function exhaustionEvents(
  address: string,
  before: readonly Seen[],
  after: TimelessCondition,
): readonly EventText[] {
  const was = before.find(({ type }) => type === after.type)?.reason ?? 'PortsLeft'
  if (was === after.reason) return []
  const type = after.reason === 'PortsLeft' ? 'Normal' : 'Warning'
  return [{ type, reason: after.reason, message: `Egress IP ${address}: ${after.message}` }]
}
