import type { GatewayReachability } from '../../decide/gateways/takeover.ts'
import type { EgressIp, Tables } from '../../decide/tables.ts'
import type { AddressClaim } from '../../linux/arp.ts'
import type { Address } from '../../net/address.ts'
import type { NodeDevice } from '../node/node-network.ts'
import type { Claim, ClaimLink } from './address-claims.ts'
import type { MovePlan } from './moves.ts'
import type { FromProber, Watched } from './pulse/messages.ts'

/*
 * Which node answers for which egress IP, as this node sees and does it: what is known, what may happen, and what follows.
 * `stepFailover` holds the rules, and `Failover` carries out the effects.
 */

/** What this node knows. It is replaced, never changed, so a reader sees one moment. */
export interface FailoverState {
  readonly node: string
  /** This node's; undefined before its first tables. */
  readonly tunnelAddress: Address | undefined
  /** Why this node is no member of the cluster, for people; undefined while it is one. */
  readonly noMemberBecause: string | undefined
  /** By egress IP: who may answer for it, by tunnel address, the owner first. */
  readonly orders: ReadonlyMap<Address, readonly Address[]>
  /** Those whose owner is alive, but not the interface that has them. */
  readonly ownerless: ReadonlySet<Address>
  /** By address that is this node's own from a pool, or that lingers here: whether it may be used. See address-claims.ts. */
  readonly claims: ReadonlyMap<Address, Claim>
  /** Of the cluster's nodes; undefined while they are not all known. */
  readonly clusterMacs: ReadonlySet<string> | undefined
  readonly devices: readonly NodeDevice[]
  /** By address from a pool that is this node's own, its device's name. */
  readonly poolPlaces: ReadonlyMap<Address, string>
  readonly poolProblems: readonly string[]
  /** By address that the agent has put on a device of this node, the device's name. */
  readonly held: ReadonlyMap<Address, string>
  /** By egress IP of another node, when this node took it over lately. */
  readonly takenAtMs: ReadonlyMap<Address, readonly number[]>
  readonly takeovers: TakeoverCounts
  readonly moveProblems: readonly string[]
  readonly watched: Watched | undefined
  readonly gateways: ReadonlyMap<Address, GatewayReachability>
  /** When each gateway became unreachable lately. */
  readonly unreachableAtMs: ReadonlyMap<Address, readonly number[]>
  readonly avoidedUntilNs: ReadonlyMap<Address, bigint>
  /** Since when this node has reached no other node; undefined while it reaches one, or probes none. */
  readonly cutOffSinceMs: number | undefined
  /** How often this node was absent for so long that others went on without it. */
  readonly absence: number
  readonly rejoin: Rejoin | undefined
  /** How often this node has begun to rejoin. */
  readonly rejoins: number
}

/** How often this node took over egress IPs of others, and gave them up. */
export interface TakeoverCounts {
  readonly takenOver: number
  readonly handedBack: number
}

/** A node that was absent takes part again. See rejoin.ts. */
export interface Rejoin {
  /** Events of an earlier one mean nothing. */
  readonly id: number
  readonly absence: number
  /** It announces nothing and moves no address. */
  readonly isQuiet: boolean
  readonly isRelisted: boolean
  /** Tables are being written: with what the node knew before it was absent, or with what it has listed since. */
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
  /** The previous agent was stopped in good order, and no other node has taken this one for dead since. */
  | { readonly kind: 'predecessorIsAlive' }
  /** The tables are in the kernel now. */
  | {
      readonly kind: 'tablesApplied'
      readonly tables: Tables
      readonly lingering: ReadonlyMap<Address, EgressIp>
      readonly devices: readonly NodeDevice[]
    }
  /** The cluster does not know this node as the node itself does. */
  | { readonly kind: 'membershipLost'; readonly reason: string }
  | Exclude<FromProber, { readonly kind: 'left' }>
  | { readonly kind: 'relisted'; readonly rejoin: number }
  | { readonly kind: 'relistTimedOut'; readonly rejoin: number; readonly hasTables: boolean }
  | { readonly kind: 'settled'; readonly rejoin: number }
  | { readonly kind: 'settleFailed'; readonly rejoin: number }
  /** Every second: handing back is due by the clock, not by an event. */
  | { readonly kind: 'tick' }
  | ({ readonly kind: 'moved'; readonly plan: MovePlan } & MoveResult)
  | { readonly kind: 'moveFailed'; readonly message: string }

/** What became of a plan. */
export interface MoveResult {
  /** What was not there before. */
  readonly added: readonly Address[]
  /** What the agent has put on devices, by now. */
  readonly held: ReadonlyMap<Address, string>
  /** What could not be done, one sentence each. */
  readonly problems: readonly string[]
}

export type FailoverEffect =
  /** The prober answers probes once its absence is this one. */
  | { readonly kind: 'answerProbes'; readonly absence: number }
  | { readonly kind: 'refuseProbes' }
  | { readonly kind: 'watch'; readonly watched: Watched }
  | { readonly kind: 'avoid'; readonly untilNs: ReadonlyMap<Address, bigint> }
  /** Leads to `relisted`, however long it takes, and after a while to `relistTimedOut`. */
  | { readonly kind: 'relist'; readonly rejoin: number }
  /** Writes tables as decided from now on. Leads to `settled` or `settleFailed`. */
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
  /** Of one address, or of all. */
  | { readonly kind: 'stopAnnouncing'; readonly address?: Address }
  /** What the tables depend on has changed. */
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

export function startOfFailover(node: string, held: ReadonlyMap<Address, string>): FailoverState {
  return {
    node,
    tunnelAddress: undefined,
    noMemberBecause: undefined,
    orders: new Map(),
    ownerless: new Set(),
    claims: new Map(),
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
    unreachableAtMs: new Map(),
    avoidedUntilNs: new Map(),
    cutOffSinceMs: undefined,
    absence: 0,
    rejoin: undefined,
    rejoins: 0,
  }
}

/** The moment that a step is about, on both scales of the monotonic clock. */
export interface Moment {
  readonly ms: number
  readonly ns: bigint
}
