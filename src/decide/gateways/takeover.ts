import type { Address } from '../../net/address.ts'

/** The state of a gateway as this node sees it. Maps leave out a gateway whose state is not known yet. */
export interface GatewayReachability {
  /** It does not answer probes, or it is ineligible. */
  readonly isUnreachable: boolean
  /** Other nodes answered while it did not, so this node's own path works. */
  readonly isWitnessed: boolean
  /** When `isUnreachable` last changed. */
  readonly sinceMs: number
}

/** An egress IP that this node has taken over. */
export interface Taken {
  /** How often this node took it over in the last ten minutes, at least 1. */
  readonly times: number
}

/**
 * The gateways that this node probes. These are all gateways of each egress IP that its own pods use or have used, and of
 * each egress IP that it may answer for itself.
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

/** Whether this node may have to take over an egress IP, or other nodes an egress IP of this node. */
export function sharesEgressIp(orders: ReadonlyMap<Address, readonly Address[]>, self: Address): boolean {
  return [...orders.values()].some((order) => order.length > 1 && order.includes(self))
}

/**
 * How long a node that reaches no other node keeps the egress IPs that it has taken over. It is short, because another node
 * may claim the same address. It is not shorter, because addresses should not move when a path fails for a moment.
 */
export const giveUpAfterMs = 3_000

/** Takeovers and failures count for this long. */
export const flapMemoryMs = 600_000

/** How long the owner must be reachable before it gets its egress IP back. The time doubles with each takeover. */
export function handBackAfterMs({ times }: Taken): number {
  return Math.min(5_000 * 2 ** (times - 1), 300_000)
}

/**
 * How long new flows avoid a gateway after its latest failure, by the number of its failures in the last ten minutes. Two
 * failures may be bad luck. A gateway that keeps failing would delay new flows each time.
 */
export function ineligibleForMs(deaths: number): number {
  return deaths < 3 ? 0 : Math.min(5_000 * 2 ** (deaths - 3), 300_000)
}

interface TakeoverSituation {
  /** For each egress IP the gateways that may answer for it, by tunnel address, the owner first. */
  readonly orders: ReadonlyMap<Address, readonly Address[]>
  /** This node's tunnel address. */
  readonly self: Address
  readonly gateways: ReadonlyMap<Address, GatewayReachability>
  readonly taken: ReadonlyMap<Address, Taken>
  /** Since when this node has reached no other node. Undefined while it reaches one. */
  readonly cutOffSinceMs?: number | undefined
  /** The egress IPs whose owner is alive, but cannot answer because its interface carries no traffic. */
  readonly ownerless?: ReadonlySet<Address>
  readonly nowMs: number
}

/**
 * The egress IPs that this node answers for in place of their owners. It takes over an egress IP when all gateways before it
 * in the order are unreachable, and answers of other nodes show that this node is not cut off. It hands the egress IP back
 * when a gateway before it has been reachable for long enough. It also gives it up after it has reached no other node for
 * `giveUpAfterMs`. A gateway whose state is unknown counts as neither reachable nor unreachable. So an agent that has just
 * started takes nothing over and hands nothing back.
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
