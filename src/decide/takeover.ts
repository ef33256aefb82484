import type { Address } from '../net/address.ts'

/** What is known of a gateway: whether it is silent, and since when it has been as it is. Unknown ones are absent. */
export interface GatewayLife {
  readonly isSilent: boolean
  readonly sinceMs: number
}

/** An address that this node answers for in another's place. */
export interface Taken {
  /** How often it was taken in the last ten minutes; from 1. */
  readonly times: number
}

/**
 * Whom this node has to listen for: all that may answer for an egress IP that its own pods leave with, or have left with;
 * and all that it stands behind.
 */
export function watchedGateways(
  orders: ReadonlyMap<Address, readonly Address[]>,
  used: ReadonlySet<Address>,
  self: Address,
): ReadonlySet<Address> {
  const watched = [...orders].flatMap(([address, order]) =>
    used.has(address) || order.includes(self) ? order : [],
  )
  return new Set(watched.filter((gateway) => gateway !== self))
}

/** Moves and deaths that are older say nothing any more. */
export const flapMemoryMs = 600_000

/** How long the owner must have been well before it has its address back; twice as long each time it was away again. */
export function handBackAfterMs({ times }: Taken): number {
  return Math.min(5_000 * 2 ** (times - 1), 300_000)
}

/**
 * How long a gateway is left alone after its latest death, by the number of its deaths in the last ten minutes. Two are
 * bad luck; one that comes and goes would cost every flow a stall each time.
 */
export function distrustMs(deaths: number): number {
  return deaths < 3 ? 0 : Math.min(5_000 * 2 ** (deaths - 3), 300_000)
}

export interface TakeoverSituation {
  /** By egress IP: who may answer for it, by tunnel address, the owner first. */
  readonly orders: ReadonlyMap<Address, readonly Address[]>
  /** This node's tunnel address. */
  readonly self: Address
  readonly gateways: ReadonlyMap<Address, GatewayLife>
  readonly taken: ReadonlyMap<Address, Taken>
  readonly nowMs: number
}

/**
 * The egress IPs that this node answers for in another's place: those of which all before it in the order are silent, and
 * those it has taken whose owner has not been well for long enough. Who is not known yet is neither silent nor well: an
 * agent that has just started takes nothing and gives nothing back.
 */
export function planTakeovers(situation: TakeoverSituation): ReadonlySet<Address> {
  const { orders, self, gateways, taken, nowMs } = situation
  const held = new Set<Address>()
  for (const [address, order] of orders) {
    const before = order.slice(0, Math.max(order.indexOf(self), 0))
    if (before.length === 0) continue
    const lives = before.map((gateway) => gateways.get(gateway))
    const isAlone = lives.every((life) => life?.isSilent)
    const already = taken.get(address)
    const isRelieved =
      already !== undefined &&
      lives.some((life) => life?.isSilent === false && nowMs - life.sinceMs >= handBackAfterMs(already))
    if (isAlone || (already !== undefined && !isRelieved)) held.add(address)
  }
  return held
}
