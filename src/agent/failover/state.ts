import type { GatewayReachability } from '../../decide/gateways/takeover.ts'
import type { EgressIp, Tables } from '../../decide/tables.ts'
import type { AddressClaim } from '../../linux/arp.ts'
import type { Address } from '../../net/address.ts'
import type { NodeDevice } from '../node/node-network.ts'
import type { Claim, ClaimLink } from './address-claims.ts'
import type { MovePlan } from './moves.ts'
import type { FromProber, Watched } from './pulse/messages.ts'

/*
 * Which node answers for which egress IP, from this node's view: its knowledge, the events, and the effects. `stepFailover`
 * has the rules, and `Failover` carries out the effects.
 */

/** What this node knows. It is replaced, never changed, so a reader sees one moment. */
export interface FailoverState {
  readonly node: string
  /** This node's tunnel address. Undefined before its first tables. */
  readonly tunnelAddress: Address | undefined
  /** Why this node is not a member of the cluster, as a sentence. Undefined while it is one. */
  readonly noMemberBecause: string | undefined
  /** For each egress IP the gateways that may answer for it, by tunnel address, the owner first. */
  readonly orders: ReadonlyMap<Address, readonly Address[]>
  /** Egress IPs whose owner is alive, but cannot answer because its interface carries no traffic. */
  readonly ownerless: ReadonlySet<Address>
  /** By address that is this node's own from a pool, or that lingers here: whether it may be used. See address-claims.ts. */
  readonly claims: ReadonlyMap<Address, Claim>
  /** Egress IPs in the tables that the previous agent left: flows have them. */
  readonly inherited: ReadonlySet<Address>
  /** Of the cluster's nodes; undefined while they are not all known. */
  readonly clusterMacs: ReadonlySet<string> | undefined
  readonly devices: readonly NodeDevice[]
  /** For each address from a pool that belongs on this node, the name of its device. While it is no member: as before. */
  readonly poolPlaces: ReadonlyMap<Address, string>
  readonly poolProblems: readonly string[]
  /** For each address that the agent added to a device of this node, the name of the device. */
  readonly held: ReadonlyMap<Address, string>
  /** For each egress IP of another node, when this node took it over recently. */
  readonly takenAtMs: ReadonlyMap<Address, readonly number[]>
  readonly takeovers: TakeoverCounts
  readonly moveProblems: readonly string[]
  readonly watched: Watched | undefined
  readonly gateways: ReadonlyMap<Address, GatewayReachability>
  /** Gateways that answer probes by a link, so packets for them take it. */
  readonly byLink: ReadonlySet<Address>
  readonly pathChanges: PathChanges
  /** When each gateway became unreachable recently. */
  readonly unreachableAtMs: ReadonlyMap<Address, readonly number[]>
  readonly avoidedUntilNs: ReadonlyMap<Address, bigint>
  /** Since when this node has reached no other node. Undefined while it reaches one, or probes none. */
  readonly cutOffSinceMs: number | undefined
  /** Since when it has also received nothing from the API server. */
  readonly isolatedSinceMs: number | undefined
  /** How often this node was absent for so long that other nodes went on without it. */
  readonly absence: number
  readonly rejoin: Rejoin | undefined
  /** How often this node has begun to rejoin. */
  readonly rejoins: number
}

/** How often this node took over egress IPs of other nodes, and gave them up. */
export interface TakeoverCounts {
  readonly takenOver: number
  readonly handedBack: number
}

/** How often packets for a gateway changed to a path. */
export interface PathChanges {
  readonly link: number
  readonly tunnel: number
}

/** A node that was absent rejoins. See rejoin.ts. */
export interface Rejoin {
  /** Events with the id of an earlier rejoin are ignored. */
  readonly id: number
  readonly absence: number
  /** While it is true, the node announces nothing and moves no address. */
  readonly isQuiet: boolean
  readonly isRelisted: boolean
  /** The agent writes tables. `old`: from what it knew before the absence. `relisted`: from what it has listed since. */
  readonly settling: 'old' | 'relisted' | undefined
}

export type FailoverEvent =
  /** The tables are decided, and not in the kernel yet. */
  | {
      readonly kind: 'ownDecided'
      readonly tables: Tables
      readonly lingering: ReadonlyMap<Address, Pick<EgressIp, 'order'>>
      readonly devices: readonly NodeDevice[]
    }
  /** A host of a watched link has, or probes for, an address. */
  | { readonly kind: 'claimed'; readonly claim: AddressClaim }
  /** The probes of an address have been sent, and the time for answers is over. */
  | { readonly kind: 'probed'; readonly address: Address }
  | { readonly kind: 'started' }
  /** The previous agent stopped in order, and no other node has counted this one as dead since. */
  | { readonly kind: 'predecessorIsAlive' }
  /** The tables are in the kernel now. */
  | {
      readonly kind: 'tablesApplied'
      readonly tables: Tables
      readonly lingering: ReadonlyMap<Address, EgressIp>
      readonly devices: readonly NodeDevice[]
    }
  /** The cluster does not know this node by an address that it has. */
  | { readonly kind: 'membershipLost'; readonly reason: string }
  | Exclude<FromProber, { readonly kind: 'left' }>
  | { readonly kind: 'relisted'; readonly rejoin: number }
  | { readonly kind: 'relistTimedOut'; readonly rejoin: number; readonly hasTables: boolean }
  | { readonly kind: 'settled'; readonly rejoin: number }
  | { readonly kind: 'settleFailed'; readonly rejoin: number }
  /** Every second, because addresses are handed back after a time and not after an event. */
  | { readonly kind: 'tick'; readonly receivesNothing: boolean }
  | ({ readonly kind: 'moved'; readonly plan: MovePlan } & MoveResult)
  | { readonly kind: 'moveFailed'; readonly message: string }

/** The result of a move. */
export interface MoveResult {
  /** Addresses that were missing and are now added. */
  readonly added: readonly Address[]
  /** All addresses that the agent has added to devices. */
  readonly held: ReadonlyMap<Address, string>
  /** What failed, one sentence each. */
  readonly problems: readonly string[]
}

export type FailoverEffect =
  /** The prober answers probes if its latest absence has this number. */
  | { readonly kind: 'answerProbes'; readonly absence: number }
  | { readonly kind: 'refuseProbes' }
  | { readonly kind: 'watch'; readonly watched: Watched }
  | { readonly kind: 'avoid'; readonly untilNs: ReadonlyMap<Address, bigint> }
  /** Leads to `relisted`, however long it takes, and after a timeout to `relistTimedOut`. */
  | { readonly kind: 'relist'; readonly rejoin: number }
  /** Writes tables by a decision that is made from now on. Leads to `settled` or `settleFailed`. */
  | { readonly kind: 'settle'; readonly rejoin: number; readonly afterMs: number }
  /** Leads to `moved` or `moveFailed` at once. */
  | { readonly kind: 'move'; readonly plan: MovePlan }
  | {
      readonly kind: 'announce'
      readonly address: Address
      readonly device: { readonly index: number; readonly mac: string }
    }
  /** Asks the hosts of a link for an address. Leads to `probed`, and before that to `claimed` for each answer. */
  | { readonly kind: 'probeAddress'; readonly address: Address; readonly link: ClaimLink }
  /** Leads to `claimed` whenever another host claims one of these from now on. */
  | { readonly kind: 'watchAddresses'; readonly links: ReadonlyMap<Address, ClaimLink> }
  /** Announces the address once (RFC 5227 section 2.4). */
  | { readonly kind: 'defend'; readonly address: Address; readonly link: ClaimLink }
  /** Stops announcing one address, or all. */
  | { readonly kind: 'stopAnnouncing'; readonly address?: Address }
  /** Something changed that the tables depend on. */
  | { readonly kind: 'reconcile' }
  | {
      readonly kind: 'log'
      readonly level: 'info' | 'warn'
      readonly fields: Readonly<Record<string, unknown>>
      readonly message: string
    }

export interface FailoverStep {
  readonly state: FailoverState
  readonly effects: readonly FailoverEffect[]
}

export function startOfFailover(
  node: string,
  held: ReadonlyMap<Address, string>,
  inherited: Iterable<Address> = [],
): FailoverState {
  return {
    node,
    tunnelAddress: undefined,
    noMemberBecause: undefined,
    orders: new Map(),
    ownerless: new Set(),
    claims: new Map(),
    inherited: new Set(inherited),
    clusterMacs: undefined,
    devices: [],
    poolPlaces: new Map(),
    poolProblems: [],
    held,
    takenAtMs: new Map(),
    takeovers: { takenOver: 0, handedBack: 0 },
    moveProblems: [],
    watched: undefined,
    gateways: new Map(),
    byLink: new Set(),
    pathChanges: { link: 0, tunnel: 0 },
    unreachableAtMs: new Map(),
    avoidedUntilNs: new Map(),
    cutOffSinceMs: undefined,
    isolatedSinceMs: undefined,
    absence: 0,
    rejoin: undefined,
    rejoins: 0,
  }
}

/** The moment of a step, on both scales of the monotonic clock. */
export interface Moment {
  readonly ms: number
  readonly ns: bigint
}
