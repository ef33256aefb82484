import type { Address } from '../../net/address.ts'
import type { FailoverState } from './state.ts'

/** What this node's packets experienced: for how long they could reach no gateway of their egress IP. */
export interface Outage {
  readonly egressIp: Address
  /** The one that failed. */
  readonly gateway: Address
  readonly ms: number
}

/**
 * Measures failovers as the node of the pods sees them. An outage of an egress IP begins with the last answer of the gateway
 * that got its packets. It ends when this node sends them to another gateway, or to the same one again.
 */
export class Outages {
  /** Egress IPs that no gateway of their order answers for. */
  readonly #open = new Map<Address, { readonly gateway: Address; readonly sinceMs: number }>()

  /** Call it after each verdict about gateways. `unansweredMs` is the time since the last answer of a gateway. */
  note(
    before: FailoverState,
    after: FailoverState,
    nowMs: number,
    unansweredMs: (gateway: Address) => number,
  ): readonly Outage[] {
    const ended: Outage[] = []
    for (const [address, order] of after.orders) {
      const now = firstReachable(after, order)
      const open = this.#open.get(address)
      if (open !== undefined) {
        if (now === undefined) continue
        this.#open.delete(address)
        ended.push({ egressIp: address, gateway: open.gateway, ms: nowMs - open.sinceMs })
        continue
      }
      const previous = firstReachable(before, order)
      if (previous === undefined || previous === now || !isUnreachable(after, previous)) continue
      const ms = unansweredMs(previous)
      if (now === undefined) this.#open.set(address, { gateway: previous, sinceMs: nowMs - ms })
      else ended.push({ egressIp: address, gateway: previous, ms })
    }
    for (const address of this.#open.keys()) if (!after.orders.has(address)) this.#open.delete(address)
    return ended
  }
}

/** A gateway that is not probed, as this node itself, counts as reachable. */
function firstReachable(state: FailoverState, order: readonly Address[]): Address | undefined {
  return order.find((gateway) => !isUnreachable(state, gateway))
}

function isUnreachable({ gateways }: FailoverState, gateway: Address): boolean {
  return gateways.get(gateway)?.isUnreachable === true
}
