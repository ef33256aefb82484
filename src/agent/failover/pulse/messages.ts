import type { LinkEnd } from '../../../linux/arp.ts'
import type { Address } from '../../../net/address.ts'

/** Which nodes are probed. */
export interface Watched {
  /** Nodes that are judged. New flows avoid a gateway that does not answer, and its successor takes over. */
  readonly gateways: readonly Address[]
  /** Nodes whose answers only show that this node is not cut off. */
  readonly witnesses: readonly Address[]
  /** Whether this node shares egress IPs with others. If so, it has to know when it is cut off. */
  readonly sharesEgressIp: boolean
  /** In a cluster of two nodes: the link on which ARP can ask about the other one. */
  readonly link?: LinkEnd | undefined
}

export const watchesNobody: Watched = { gateways: [], witnesses: [], sharesEgressIp: false }

/** What the answers to probes show about a gateway. */
export interface Verdict {
  /** It does not answer probes, or it is avoided because it failed too often. */
  readonly isUnreachable: boolean
  /** It is unreachable while this node's own path works, so its addresses may be taken over. */
  readonly isWitnessed: boolean
}

/** From the agent to its prober. */
export type ToProber =
  | { readonly kind: 'watch'; readonly watched: Watched }
  /** Until when new flows avoid each gateway, in ns of CLOCK_MONOTONIC. */
  | { readonly kind: 'avoid'; readonly untilNs: ReadonlyMap<Address, bigint> }
  /** The agent stops in order. */
  | { readonly kind: 'leave' }

/** From the prober to its agent. */
export type FromProber =
  | { readonly kind: 'verdicts'; readonly changes: readonly (readonly [Address, Verdict])[] }
  /** All nodes that answer probes by the link now. Packets for them take it. */
  | { readonly kind: 'links'; readonly answering: readonly Address[] }
  /** ARP cannot ask about the other node. */
  | { readonly kind: 'linkFailed'; readonly problem: string }
  /** This node no longer reaches any other node, or reaches one again. */
  | { readonly kind: 'reach'; readonly isCutOff: boolean }
  /** The agent stood still for so long that other nodes went on without this node. Absences are numbered from 1. */
  | { readonly kind: 'absent'; readonly absence: number; readonly ms: number }
  | { readonly kind: 'left' }

/** The prober, as the agent uses it. Reports arrive later, never during a call. */
export interface ProberHandle {
  send(message: ToProber): void
  /** Call it after the prober has reported `left`. */
  stop(): Promise<void>
}

export interface ProberOptions {
  readonly flags: Int32Array
  readonly report: (report: FromProber) => void
}

/**
 * Two 32-bit numbers that the agent writes and its prober reads. `beat` changes while the agent makes progress.
 * `aliveAfterAbsence` is one more than the number of the latest absence that the tables account for, and 0 if this node must
 * not count as alive.
 */
export const flagIndex = { beat: 0, aliveAfterAbsence: 1 } as const

export const newFlags = (): Int32Array => new Int32Array(new SharedArrayBuffer(24))

/**
 * Behind the flags: when the prober began to send its last probes and those before, the latest first, in ns of
 * CLOCK_MONOTONIC. The prober writes them, and the agent reads them for its metrics.
 */
export function probeTimes(flags: Int32Array): BigInt64Array {
  return new BigInt64Array(flags.buffer, 8, 2)
}

export type StartProber = (options: ProberOptions) => ProberHandle
