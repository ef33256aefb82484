import type { EgressNode } from '../../api/egress-node.ts'
import {
  moveWindow,
  neededBlocks,
  planRelease,
  raiseWish,
  type Window,
  type Wish,
} from '../../decide/ports/lease-demand.ts'
import { type AddressLeases, leasesByAddress, rangesOfBlocks } from '../../decide/ports/lease-table.ts'
import {
  confirmations,
  egressNodeOf,
  heldBlocks,
  leasedBlocks,
  markInUse,
  releasedBlocks,
  rememberLeases,
  revisionOf,
  unconfirmedBy,
} from '../../decide/ports/lease-use.ts'
import { slotsByNode } from '../../decide/ports/slots.ts'
import type { Pool, Tables } from '../../decide/tables.ts'
import type { OwnLeases, World } from '../../decide/world.ts'
import { type Address, parseAddress } from '../../net/address.ts'

type Status = NonNullable<EgressNode['status']>
type Promises = { readonly [K in 'demand' | 'confirmed' | 'released']: NonNullable<Status[K]> }
type Seen = Pick<World, 'self' | 'egressNodes' | 'egressAddresses'>

/** A wish that has come true. */
export interface Fulfilled {
  readonly address: Address
  readonly blocks: number
  readonly tookMs: number
}

const patienceMs = 10_000

type BlocksByAddress = ReadonlyMap<Address, ReadonlySet<number>>

/**
 * What this node asks for, uses and gives back of leased ports. In memory: an agent that starts anew reads from the kernel
 * what is in use, and from its own status what it had asked for and given back.
 */
export class PortDemand {
  readonly #idleMs: number
  readonly #wishes = new Map<Address, Wish>()
  readonly #windows = new Map<Address, Window>()
  /** Flows that have found no port, ever, as was last heard. */
  readonly #refused = new Map<Address, number>()
  /** Addresses of which more was asked for than is in use yet. */
  readonly #open = new Set<Address>()
  readonly #usedAtMs = new Map<Address, Map<number, number>>()
  #since: OwnLeases['since'] = new Map()
  #leaving: BlocksByAddress = new Map()
  #released: BlocksByAddress = new Map()
  #held: ReadonlyMap<Address, readonly number[]> = new Map()
  /** By which the tables were written. */
  #known: ReadonlyMap<Address, AddressLeases> = new Map()
  #confirmed: Promises['confirmed'] = []
  /** Since when gateways have kept this node from what it has by lease, and which. */
  #waiting: ReadonlyMap<Address, { readonly gateways: readonly string[]; readonly sinceMs: number }> =
    new Map()
  #hasRead = false

  constructor(idleMs: number) {
    this.#idleMs = idleMs
  }

  /** The pools as the kernel has them from before: what is in them is in use. */
  restore(pools: Iterable<readonly [Omit<Pool, 'blocks'>, readonly number[]]>): void {
    this.#since = new Map(
      [...pools].flatMap(([{ address, purpose }, blocks]) =>
        purpose === 'egress' ? [[address, new Map(blocks.map((block) => [block, 0]))] as const] : [],
      ),
    )
  }

  /** What the decision needs to know. Call it before each. */
  observe(seen: Seen, nowMs: number): OwnLeases {
    if (!this.#hasRead) this.#read(egressNodeOf(seen)?.status, seen, nowMs)
    this.#forgetOthers(leasesByAddress(seen.egressAddresses))
    const slot = slotsByNode(seen.egressNodes).get(seen.self)
    this.#since = rememberLeases(this.#since, seen, slot)
    return this.own
  }

  /** An object that was deleted and made anew has other leases, whatever they look like. */
  #forgetOthers(known: ReadonlyMap<Address, AddressLeases>): void {
    const isSame = ([address]: readonly [Address, unknown]): boolean =>
      !this.#known.has(address) || this.#known.get(address)?.uid === known.get(address)?.uid
    this.#since = new Map([...this.#since].filter(isSame))
    this.#leaving = new Map([...this.#leaving].filter(isSame))
    this.#released = new Map([...this.#released].filter(isSame))
  }

  /** Ports were asked for, or granted, that are not in use yet. */
  get isWaiting(): boolean {
    return (
      this.#open.size > 0 || [...this.#since.values()].some((blocks) => [...blocks.values()].some(Boolean))
    )
  }

  get own(): OwnLeases {
    return { since: this.#since, leaving: merge(this.#leaving, this.#released) }
  }

  #read(status: Status | undefined, seen: Seen, nowMs: number): void {
    this.#hasRead = true
    for (const { address: text, blocks } of status?.demand ?? []) {
      const address = parseAddress(text)
      if (address !== undefined) this.#wishes.set(address, { blocks, askedAtMs: nowMs })
    }
    const released = releasedBlocks(egressNodeOf(seen), leasesByAddress(seen.egressAddresses))
    this.#released = new Map([...released].map(([address, blocks]) => [address, new Set(blocks.keys())]))
  }

  /**
   * The kernel holds what was decided by `world`. Whatever was given back and is no lease of this node any more is done.
   * Returns the wishes that have come true just now.
   */
  applied(world: World, tables: Tables, nowMs: number): readonly Fulfilled[] {
    const leases = leasesByAddress(world.egressAddresses)
    this.#since = markInUse(this.#since, world, tables.pools)
    this.#confirmed = confirmations(world, tables)
    this.#known = leases
    this.#held = new Map(
      [...leases].map(([address, of]) => [address, heldBlocks(of.leases, tables.self.slot)] as const),
    )
    const ours = new Map(
      [...leases].map(
        ([address, of]) => [address, new Set(leasedBlocks(of.leases, tables.self.slot))] as const,
      ),
    )
    this.#released = within(this.#released, ours)
    this.#leaving = within(this.#leaving, ours)
    this.#waiting = new Map(
      [...unconfirmedBy({ ...world, ownLeases: this.own }, tables)].map(([address, gateways]) => {
        const { sinceMs } = this.#waiting.get(address) ?? { sinceMs: nowMs }
        return [address, { gateways, sinceMs }] as const
      }),
    )
    return this.#fulfilled(nowMs)
  }

  /** What a person should know of, in words: a gateway confirms within a second. */
  problems(nowMs: number): readonly string[] {
    return [...this.#waiting].flatMap(([address, { gateways, sinceMs }]) =>
      nowMs - sinceMs < patienceMs
        ? []
        : [
            `This node waits for ${gateways.join(' and ')} to confirm ports of egress IP ${address} that the operator leased to it. Check that the agents there run.`,
          ],
    )
  }

  #fulfilled(nowMs: number): readonly Fulfilled[] {
    return [...this.#open].flatMap((address) => {
      const wish = this.#wishes.get(address)
      if (wish !== undefined && this.#inUse(address) < wish.blocks) return []
      this.#open.delete(address)
      return wish === undefined ? [] : [{ address, blocks: wish.blocks, tookMs: nowMs - wish.askedAtMs }]
    })
  }

  /**
   * A pool is crowded; `refused` flows have found no port, ever. The node now keeps what it was about to give back, which is
   * for its own tables; or asks for more, which is for others; or neither.
   */
  press(address: Address, refused: number, nowMs: number): 'keeps' | 'asks' | undefined {
    const before = this.#wishes.get(address)
    const inUse = this.#inUse(address)
    const known = this.#refused.get(address) ?? refused
    const window = moveWindow(this.#windows.get(address), { inUse, refused: Math.min(known, refused), nowMs })
    this.#windows.set(address, window)
    this.#refused.set(address, refused)
    const wish = raiseWish(before, { inUse, needed: neededBlocks(window, refused), nowMs })
    const hadLeaving = (this.#leaving.get(address)?.size ?? 0) > 0
    this.#wishes.set(address, wish)
    if (wish.blocks !== before?.blocks) this.#open.add(address)
    this.#leaving = new Map([...this.#leaving].filter(([of]) => of !== address))
    if (hadLeaving) return 'keeps'
    return wish.blocks === before?.blocks ? undefined : 'asks'
  }

  #inUse(address: Address): number {
    return [...(this.#since.get(address)?.values() ?? [])].filter((since) => since === 0).length
  }

  /** Gives back what has been idle. `used`: the blocks that flows have. True where something changed. */
  sweep(used: BlocksByAddress, nowMs: number): boolean {
    const before = this.#sizes()
    const plans = [...this.#held].map(([address, held]) => {
      const usedHere = this.#usedOf(address, used)
      const usedAtMs = this.#noteUse(address, held, usedHere, nowMs)
      const leaving = this.#leaving.get(address) ?? new Set<number>()
      const released = this.#released.get(address) ?? new Set<number>()
      const holding = { held, used: usedHere, usedAtMs, leaving, released }
      return [address, planRelease(holding, this.#idleMs, nowMs)] as const
    })
    this.#leaving = new Map(plans.map(([address, { leaving }]) => [address, leaving]))
    this.#released = merge(
      this.#released,
      new Map(plans.map(([address, { released }]) => [address, released])),
    )
    for (const [address] of plans) this.#lowerWish(address, nowMs)
    return before !== this.#sizes()
  }

  #sizes(): string {
    const sizes = [this.#leaving, this.#released].map((all) => [...all].map(([of, { size }]) => [of, size]))
    return JSON.stringify(sizes)
  }

  /** A block that the pool has still (writing it failed) is as good as used. */
  #usedOf(address: Address, used: BlocksByAddress): ReadonlySet<number> {
    const since = this.#since.get(address)
    const inPool = [...(this.#leaving.get(address) ?? [])].filter((block) => since?.get(block) === 0)
    return new Set([...(used.get(address) ?? []), ...inPool])
  }

  #noteUse(
    address: Address,
    held: readonly number[],
    used: ReadonlySet<number>,
    nowMs: number,
  ): ReadonlyMap<number, number> {
    const before = this.#usedAtMs.get(address)
    const after = new Map(
      held.map((block) => [block, used.has(block) ? nowMs : (before?.get(block) ?? nowMs)] as const),
    )
    this.#usedAtMs.set(address, after)
    return after
  }

  /** What was given back is not asked for again; nor what nobody could give when it was wanted. */
  #lowerWish(address: Address, nowMs: number): void {
    const wish = this.#wishes.get(address)
    if (wish === undefined) return
    const released = this.#released.get(address) ?? new Set<number>()
    const kept = (this.#held.get(address) ?? []).filter((block) => !released.has(block)).length
    const isOld = nowMs - wish.askedAtMs >= this.#idleMs
    if (wish.blocks <= kept || (released.size === 0 && !isOld)) return
    if (kept === 0) this.#wishes.delete(address)
    else this.#wishes.set(address, { ...wish, blocks: kept })
  }

  /** What the node says to others. */
  get status(): Promises {
    return {
      demand: [...this.#wishes].map(([address, { blocks }]) => ({ address, blocks })).sort(byAddress),
      confirmed: this.#confirmed,
      released: [...this.#released]
        .flatMap(([address, blocks]) =>
          rangesOfBlocks(blocks).map((range) => ({
            address,
            ...range,
            ...revisionOf(this.#known.get(address) ?? { revision: 0, uid: undefined }),
          })),
        )
        .sort(byAddress),
    }
  }
}

function byAddress(a: { readonly address: string }, b: { readonly address: string }): number {
  return a.address < b.address ? -1 : a.address > b.address ? 1 : 0
}

function merge(one: BlocksByAddress, other: BlocksByAddress): BlocksByAddress {
  const merged = new Map<Address, ReadonlySet<number>>()
  for (const [address, blocks] of [...one, ...other])
    merged.set(address, new Set([...(merged.get(address) ?? []), ...blocks]))
  return merged
}

function within(some: BlocksByAddress, all: BlocksByAddress): BlocksByAddress {
  return new Map(
    [...some]
      .map(([address, blocks]) => {
        const allowed = all.get(address)
        return [address, new Set([...blocks].filter((block) => allowed?.has(block)))] as const
      })
      .filter(([, blocks]) => blocks.size > 0),
  )
}
