import type { Address } from '../../net/address.ts'

/** What is known of a gateway. Gateways that nobody has judged yet are absent. */
export interface GatewayReachability {
  /** It does not answer probes, or it is ineligible. */
  readonly isUnreachable: boolean
  /** It is silent although this node's own path works: others answered meanwhile. */
  readonly isWitnessed: boolean
  /** Since when `isUnreachable` has been as it is. */
  readonly sinceMs: number
}

/** An address that this node answers for in another's place. */
export interface Taken {
  /** How often it was taken in the last ten minutes; from 1. */
  readonly times: number
}

/**
 * The gateways that this node probes: all that may answer for an egress IP that its own pods use or have used, and all that
 * come before it in an order of gateways.
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

/** It may have to take over an egress IP, or others may have to take over one of its own. */
export function sharesEgressIp(orders: ReadonlyMap<Address, readonly Address[]>, self: Address): boolean {
  return [...orders.values()].some((order) => order.length > 1 && order.includes(self))
}

/**
 * How long a node that reaches nobody keeps what it has taken over. Two nodes that claim one address disturb each other, so
 * it is short; and a path that fails for a moment is no reason to move addresses, so it is not shorter.
 */
export const giveUpAfterMs = 3_000

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
export function ineligibleForMs(deaths: number): number {
  return deaths < 3 ? 0 : Math.min(5_000 * 2 ** (deaths - 3), 300_000)
}

interface TakeoverSituation {
  /** By egress IP: who may answer for it, by tunnel address, the owner first. */
  readonly orders: ReadonlyMap<Address, readonly Address[]>
  /** This node's tunnel address. */
  readonly self: Address
  readonly gateways: ReadonlyMap<Address, GatewayReachability>
  readonly taken: ReadonlyMap<Address, Taken>
  /** Since when this node has reached nobody. */
  readonly cutOffSinceMs?: number | undefined
  /** Those that no owner answers for, although it is alive: its interface carries no traffic. */
  readonly ownerless?: ReadonlySet<Address>
  readonly nowMs: number
}

/**
 * The egress IPs that this node answers for in another's place. It takes one when all gateways before it in the order are
 * silent and others have shown that this node is not the one that is cut off. It keeps one until the owner has been
 * reachable for long enough, or until it has reached nobody for `giveUpAfterMs`. A gateway that nobody has judged yet is
 * neither silent nor reachable: an agent that has just started takes nothing and hands nothing back.
 */
export function planTakeovers(situation: TakeoverSituation): ReadonlySet<Address> {
  const { orders, self, gateways, taken, cutOffSinceMs, nowMs } = situation
  const held = new Set<Address>()
  if (cutOffSinceMs !== undefined && nowMs - cutOffSinceMs >= giveUpAfterMs) return held
  for (const [address, order] of orders) {
    const before = order.slice(0, Math.max(order.indexOf(self), 0))
    if (before.length === 0) {
      if (order[0] === self && situation.ownerless?.has(address)) held.add(address)
      continue
    }
    const lives = before.map((gateway) => gateways.get(gateway))
    const isNext =
      cutOffSinceMs === undefined && lives.every((life) => life?.isUnreachable === true && life.isWitnessed)
    const already = taken.get(address)
    const isRelieved =
      already !== undefined &&
      lives.some((life) => life?.isUnreachable === false && nowMs - life.sinceMs >= handBackAfterMs(already))
    if (isNext || (already !== undefined && !isRelieved)) held.add(address)
  }
  return held
}
