import type { EgressNode } from '../../api/egress-node.ts'
import type { Fullness, LeaseRequest, Window } from '../../decide/ports/lease-demand.ts'
import { type AddressLeases, rangesOfBlocks } from '../../decide/ports/lease-table.ts'
import { revisionOf } from '../../decide/ports/lease-use.ts'
import type { Tables } from '../../decide/tables.ts'
import type { OwnLeases, World } from '../../decide/world.ts'
import type { Address } from '../../net/address.ts'

type Status = NonNullable<EgressNode['status']>
/** What a node reports of leased ports. */
export type PortReport = {
  readonly [K in 'demand' | 'confirmed' | 'released' | 'heaviest']: NonNullable<Status[K]>
}
/** Of the world, what this node's leases depend on. */
export type LeaseWorld = Pick<World, 'self' | 'egressNodes' | 'egressAddresses'>

/** What flows have of an egress IP. */
export interface AddressUse {
  /** By block, how many. */
  readonly flows: ReadonlyMap<number, number>
  /** How many go to the destination that most go to. */
  readonly most: number
  /** The pod that has most of them. */
  readonly heaviest?: { readonly pod: Address; readonly connections: number }
}

export type BlocksByAddress = ReadonlyMap<Address, ReadonlySet<number>>

/**
 * What this node requests, uses and gives back of leased ports. It is replaced, never changed. In memory alone: an agent that
 * starts again reads from the kernel what is in use, and from its own status what it had requested and given back.
 */
export interface PortState {
  readonly idleMs: number
  readonly requests: ReadonlyMap<Address, LeaseRequest>
  readonly windows: ReadonlyMap<Address, Window>
  /** Flows that have found no port, ever, as the datapath last said. */
  readonly refused: ReadonlyMap<Address, number>
  /** Addresses of which more was requested than is in use yet. */
  readonly unfulfilled: ReadonlySet<Address>
  readonly usedAtMs: ReadonlyMap<Address, ReadonlyMap<number, number>>
  readonly since: OwnLeases['since']
  /** Blocks that nothing new uses any more. */
  readonly leaving: BlocksByAddress
  readonly released: BlocksByAddress
  /** Blocks by lease, without those that are ending. */
  readonly held: ReadonlyMap<Address, readonly number[]>
  /** The leases by which the tables were written. */
  readonly known: ReadonlyMap<Address, AddressLeases>
  readonly confirmed: PortReport['confirmed']
  /** Since when gateways have kept this node from what it has by lease, and which. */
  readonly waiting: ReadonlyMap<Address, { readonly gateways: readonly string[]; readonly sinceMs: number }>
  readonly hasReadStatus: boolean
  /** Blocks of each pool, leased or not. */
  readonly poolSizes: ReadonlyMap<Address, number>
  /** Addresses of which nodes want more than there is, and how many blocks this node is to return. */
  readonly short: ReadonlyMap<Address, number>
  /** Addresses that new flows of this node's pods may have. */
  readonly wanted: ReadonlySet<Address>
  /** Blocks that new flows may have. */
  readonly usable: ReadonlySet<number>
  readonly podNames: ReadonlyMap<Address, string>
  /** Of addresses of which nodes want more than there is. */
  readonly heaviest: PortReport['heaviest']
  /** By egress IP, the flows of this node's pods at the last sweep. */
  readonly flows: ReadonlyMap<Address, number>
}

export type PortEvent =
  /** The pools as the kernel has them from the agent before: what is in them is in use. */
  | { readonly kind: 'restored'; readonly pools: ReadonlyMap<Address, readonly number[]> }
  /** Every watch has listed. Comes before each decision. */
  | { readonly kind: 'observed'; readonly world: LeaseWorld }
  /** The kernel holds what was decided by `world`. */
  | { readonly kind: 'applied'; readonly world: World; readonly tables: Tables }
  /** A pool may be crowded towards a destination; `refused` flows have found no port, ever. */
  | {
      readonly kind: 'pressure'
      readonly address: Address
      readonly refused: number
      readonly fullness: Fullness
    }
  | { readonly kind: 'swept'; readonly uses: ReadonlyMap<Address, AddressUse> }

export type PortEffect =
  /** Other nodes or the operator wait for what this node reports. */
  | { readonly kind: 'report' }
  /** This node's own tables change. */
  | { readonly kind: 'reconcile' }
  /** Others lack ports: find out what flows have now. */
  | { readonly kind: 'sweep' }
  /** A request was fulfilled. */
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
  }
}

/** Ports were requested, or granted, that are not in use yet. */
export function isWaiting({ unfulfilled, since }: PortState): boolean {
  return unfulfilled.size > 0 || [...since.values()].some((blocks) => [...blocks.values()].some(Boolean))
}

/** Other nodes lack ports that this one may have too many of. */
export function isPressed({ short, held }: PortState): boolean {
  return [...short.keys()].some((address) => (held.get(address)?.length ?? 0) > 0)
}

/** What the decision needs to know. */
export function ownLeases({ since, leaving, released }: PortState): OwnLeases {
  return { since, leaving: union(leaving, released) }
}

/** Blocks that are in use by lease or as the floor. */
export function blocksInUse({ since }: PortState, address: Address): number {
  return [...(since.get(address)?.values() ?? [])].filter((revision) => revision === 0).length
}

/** A gateway confirms within a second. */
const confirmTimeoutMs = 10_000

/** What a person should know of, one sentence each. */
export function portProblems({ waiting }: PortState, nowMs: number): readonly string[] {
  return [...waiting].flatMap(([address, { gateways, sinceMs }]) =>
    nowMs - sinceMs < confirmTimeoutMs
      ? []
      : [
          `This node waits for ${gateways.join(' and ')} to confirm ports of egress IP ${address} that the operator leased to it. Check that the agents there run.`,
        ],
  )
}

/** What the node says to others. */
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

/** Blocks of the pool that no lease is for. */
export function floorBlocks(state: PortState, address: Address): number {
  return Math.max((state.poolSizes.get(address) ?? 0) - blocksInUse(state, address), 0)
}
