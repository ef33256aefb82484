import type { EgressNode } from '../../api/egress-node.ts'
import type { Fullness, LeaseRequest, Window } from '../../decide/ports/lease-demand.ts'
import { type AddressLeases, rangesOfBlocks } from '../../decide/ports/lease-table.ts'
import { revisionOf } from '../../decide/ports/lease-use.ts'
import type { Tables } from '../../decide/tables.ts'
import type { OwnLeases, World } from '../../decide/world.ts'
import type { Address } from '../../net/address.ts'

type Status = NonNullable<EgressNode['status']>
/** A node's report about leased ports. */
export type PortReport = {
  readonly [K in 'demand' | 'confirmed' | 'released' | 'heaviest']: NonNullable<Status[K]>
}
/** The part of the world that this node's leases depend on. */
export type LeaseWorld = Pick<World, 'self' | 'egressNodes' | 'egressAddresses'>

/** How flows use an egress IP. */
export interface AddressUse {
  /** How many flows each block has. */
  readonly flows: ReadonlyMap<number, number>
  /** How many flows go to the destination with most flows. */
  readonly most: number
  /** The pod with most flows. */
  readonly heaviest?: { readonly pod: Address; readonly connections: number }
}

export type BlocksByAddress = ReadonlyMap<Address, ReadonlySet<number>>

/**
 * What this node demands, uses and returns of leased ports. It is replaced, never changed, and kept in memory only. An agent
 * that starts again reads from the kernel which ports are in use, and from its own status what it had demanded and returned.
 */
export interface PortState {
  readonly idleMs: number
  readonly requests: ReadonlyMap<Address, LeaseRequest>
  readonly windows: ReadonlyMap<Address, Window>
  /** How many flows have found no port since load, by the datapath's last count. */
  readonly refused: ReadonlyMap<Address, number>
  /** Addresses of which this node demanded more than it uses yet. */
  readonly unfulfilled: ReadonlySet<Address>
  readonly usedAtMs: ReadonlyMap<Address, ReadonlyMap<number, number>>
  readonly since: OwnLeases['since']
  /** Blocks that new flows do not use any more. */
  readonly leaving: BlocksByAddress
  readonly released: BlocksByAddress
  /** For each address the blocks of this node's leases. Leases that the operator is ending do not count. */
  readonly held: ReadonlyMap<Address, readonly number[]>
  /** The leases with which the tables were written. */
  readonly known: ReadonlyMap<Address, AddressLeases>
  readonly confirmed: PortReport['confirmed']
  /** Which gateways keep this node from using its leases because they have not confirmed, and since when. */
  readonly waiting: ReadonlyMap<Address, { readonly gateways: readonly string[]; readonly sinceMs: number }>
  readonly hasReadStatus: boolean
  /** The number of blocks in each pool, leased or not. */
  readonly poolSizes: ReadonlyMap<Address, number>
  /** Addresses of which nodes demand more than there is, and how many blocks this node is to return. */
  readonly short: ReadonlyMap<Address, number>
  /** Addresses that new flows of this node's pods may use. */
  readonly wanted: ReadonlySet<Address>
  /** Blocks that new flows may use. */
  readonly usable: ReadonlySet<number>
  readonly podNames: ReadonlyMap<Address, string>
  /** Only for addresses of which nodes demand more than there is. */
  readonly heaviest: PortReport['heaviest']
  /** By egress IP, the flows of this node's pods at the last sweep. */
  readonly flows: ReadonlyMap<Address, number>
  /** By egress IP, how many of them go to the destination with most flows. */
  readonly crowded: ReadonlyMap<Address, number>
}

export type PortEvent =
  /** The pools that the previous agent left in the kernel. Their blocks are in use. */
  | { readonly kind: 'restored'; readonly pools: ReadonlyMap<Address, readonly number[]> }
  /** Every watch has listed. Comes before each decision. */
  | { readonly kind: 'observed'; readonly world: LeaseWorld }
  /** The kernel's tables match what was decided from `world`. */
  | { readonly kind: 'applied'; readonly world: World; readonly tables: Tables }
  /** A pool may be crowded towards a destination. `refused` flows have found no port since load. */
  | {
      readonly kind: 'pressure'
      readonly address: Address
      readonly refused: number
      readonly fullness: Fullness
    }
  | { readonly kind: 'swept'; readonly uses: ReadonlyMap<Address, AddressUse> }

export type PortEffect =
  /** Other nodes or the operator wait for this node's report. */
  | { readonly kind: 'report' }
  /** This node's own tables change. */
  | { readonly kind: 'reconcile' }
  /** Other nodes lack ports, so the agent counts which ports flows use now. */
  | { readonly kind: 'sweep' }
  /** A demand was met. */
  | {
      readonly kind: 'fulfilled'
      readonly address: Address
      readonly blocks: number
      readonly tookMs: number
    }

export interface PortStep {
  readonly state: PortState
  readonly effects: readonly PortEffect[]
}

export function startOfPorts(idleMs: number): PortState {
  return {
    idleMs,
    requests: new Map(),
    windows: new Map(),
    refused: new Map(),
    unfulfilled: new Set(),
    usedAtMs: new Map(),
    since: new Map(),
    leaving: new Map(),
    released: new Map(),
    held: new Map(),
    known: new Map(),
    confirmed: [],
    waiting: new Map(),
    hasReadStatus: false,
    poolSizes: new Map(),
    short: new Map(),
    wanted: new Set(),
    usable: new Set(),
    podNames: new Map(),
    heaviest: [],
    flows: new Map(),
    crowded: new Map(),
  }
}

/** Whether ports were demanded or granted that are not in use yet. */
export function isWaiting({ unfulfilled, since }: PortState): boolean {
  return unfulfilled.size > 0 || [...since.values()].some((blocks) => [...blocks.values()].some(Boolean))
}

/** Whether other nodes lack ports while this one may have too many. */
export function isPressed({ short, held }: PortState): boolean {
  return [...short.keys()].some((address) => (held.get(address)?.length ?? 0) > 0)
}

/** What the decision needs to know about this node's leases. */
export function ownLeases({ since, leaving, released }: PortState): OwnLeases {
  return { since, leaving: union(leaving, released) }
}

/** The number of blocks in use, by lease or by floor. */
export function blocksInUse({ since }: PortState, address: Address): number {
  return [...(since.get(address)?.values() ?? [])].filter((revision) => revision === 0).length
}

/** A gateway confirms within a second. */
const confirmTimeoutMs = 10_000

/** Problems for users, one sentence each. */
export function portProblems({ waiting }: PortState, nowMs: number): readonly string[] {
  return [...waiting].flatMap(([address, { gateways, sinceMs }]) =>
    nowMs - sinceMs < confirmTimeoutMs
      ? []
      : [
          `This node waits for ${gateways.join(' and ')} to confirm ports of egress IP ${address} that the operator leased to it. Check that the agents there run.`,
        ],
  )
}

/** The report to other nodes. */
export function portReport({ requests, confirmed, released, known, heaviest }: PortState): PortReport {
  return {
    demand: [...requests].map(([address, { blocks }]) => ({ address, blocks })).sort(byAddress),
    confirmed,
    heaviest,
    released: [...released]
      .flatMap(([address, blocks]) =>
        rangesOfBlocks(blocks).map((range) => ({
          address,
          ...range,
          ...revisionOf(known.get(address) ?? { revision: 0, uid: undefined }),
        })),
      )
      .sort(byAddress),
  }
}

function byAddress(a: { readonly address: string }, b: { readonly address: string }): number {
  return a.address < b.address ? -1 : a.address > b.address ? 1 : 0
}

export function union(one: BlocksByAddress, other: BlocksByAddress): BlocksByAddress {
  const both = new Map<Address, ReadonlySet<number>>()
  for (const [address, blocks] of [...one, ...other])
    both.set(address, new Set([...(both.get(address) ?? []), ...blocks]))
  return both
}

/** Blocks of the pool that are not leased. */
export function floorBlocks(state: PortState, address: Address): number {
  return Math.max((state.poolSizes.get(address) ?? 0) - blocksInUse(state, address), 0)
}
