import type { LinkEnd } from '../../../linux/arp.ts'
import type { Address } from '../../../net/address.ts'

/** Which nodes are probed. */
export interface Watched {
  /** Judged: new flows avoid one that does not answer, and its successor takes over. */
  readonly gateways: readonly Address[]
  /** Probed as well: their answers show that this node itself is not the one that is cut off. */
  readonly witnesses: readonly Address[]
  /** This node shares egress IPs with others, so it has to know when it is cut off. */
  readonly sharesEgressIp: boolean
  /** Where ARP can ask about the only other node, in a cluster of two. */
  readonly link?: LinkEnd | undefined
}

export const watchesNobody: Watched = { gateways: [], witnesses: [], sharesEgressIp: false }

/** What the answers to probes say of a gateway. */
export interface Verdict {
  /** It does not answer probes, or it is avoided because it came and went too often. */
  readonly isUnreachable: boolean
  /** It is unreachable although this node's own path works: its addresses may be taken over. */
  readonly isWitnessed: boolean
}

/** From the agent to its prober. */
export type ToProber =
  | { readonly kind: 'watch'; readonly watched: Watched }
  /** Until when each gateway is avoided, ns of CLOCK_MONOTONIC. */
  | { readonly kind: 'avoid'; readonly untilNs: ReadonlyMap<Address, bigint> }
  /** The agent stops in good order. */
  | { readonly kind: 'leave' }

/** From the prober to its agent. */
export type FromProber =
  | { readonly kind: 'verdicts'; readonly changes: readonly (readonly [Address, Verdict])[] }
  /** The link cannot be asked about the only other node. */
  | { readonly kind: 'linkFailed'; readonly problem: string }
  /** This node no longer reaches any other node, or reaches one again. */
  | { readonly kind: 'reach'; readonly isCutOff: boolean }
  /** The agent stood still for so long that others went on without this node. Absences are counted from 1. */
  | { readonly kind: 'absent'; readonly absence: number; readonly ms: number }
  | { readonly kind: 'left' }

/** The prober as the agent sees it. What is reported comes after a while, never inside a call. */
export interface ProberHandle {
  send(message: ToProber): void
  /** After `left` was reported. */
  stop(): Promise<void>
}

export interface ProberOptions {
  readonly flags: Int32Array
  readonly report: (report: FromProber) => void
}

/**
 * Two 32-bit numbers that the agent writes and its prober reads: a beat that shows that the agent moves, and one more than
 * the number of the absence that its tables take into account; 0 if this node must not count as alive.
 */
export const flagIndex = { beat: 0, aliveAfterAbsence: 1 } as const

export type StartProber = (options: ProberOptions) => ProberHandle
