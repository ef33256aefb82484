import type { RawMap } from '../../../datapath/maps/maps.ts'
import type { LinkEnd } from '../../../linux/arp.ts'
import type { Address } from '../../../net/address.ts'

const ms = 1_000_000n

/**
 * How fast a death is noticed.
 *
 *   the way is broken     probes are lost for 350 ms: one every 100 ms, two may be lost, 50 ms for a busy source
 *   the agent is gone     200 ms without a tick of 50 ms, then the next probe is refused: at most 300 ms
 *   its thread is stuck   3 s: a long computation is no death
 */
export const timing = {
  tickMs: 50,
  ticksPerProbe: 2,
  aliveNs: 200n * ms,
  stuckNs: 3_000n * ms,
  /** gateway_silence_ns of bpf/config.h. Who was not well for so long may have been taken for dead. */
  silenceNs: 350n * ms,
  /** A node that owes an answer for so long is asked by ARP as well, where the cluster has no other node: two probes. */
  askAfterNs: 150n * ms,
  /** Past it this node judges nobody. Shorter than the silence: a source that is stuck must not take others for dead. */
  probingNs: 250n * ms,
  /** A tick that comes later than this has missed answers. */
  lateNs: 200n * ms,
  /** So many ticks after a gap everyone has had time for two answers. */
  ticksBeforeJudging: 5,
  /** How long an agent that is stopped in good order counts as alive: its successor starts meanwhile. */
  graceNs: 60_000n * ms,
} as const

/** What the answers to probes say of a gateway. */
export interface Verdict {
  /** It does not answer probes, or it is avoided because it came and went too often. */
  readonly isSilent: boolean
  /** It is silent although this node's own path works: its addresses may be taken over. */
  readonly isWitnessed: boolean
}

export interface PulseData {
  readonly objectFile: string
  readonly maps: { readonly vitals: RawMap; readonly heard: RawMap }
  /** Two 32-bit numbers: the main thread's beat, and one more than the number of the lapse after which its tables hold. */
  readonly shared: SharedArrayBuffer
  readonly tunnelPort: number
}

/** Whom to probe. */
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

/** To the thread. */
export type Order =
  | ({ readonly kind: 'watch' } & Watched)
  /** Until when, ns of CLOCK_MONOTONIC. */
  | { readonly kind: 'distrust'; readonly until: ReadonlyMap<Address, bigint> }
  | { readonly kind: 'leave' }

/** From the thread. */
export type Report =
  | { readonly kind: 'lives'; readonly changes: readonly (readonly [Address, Verdict])[] }
  /** The link cannot be asked about the only other node. */
  | { readonly kind: 'unasked'; readonly problem: string }
  /** This node reaches nobody any more, or somebody again. */
  | { readonly kind: 'reach'; readonly isCutOff: boolean }
  /** The agent stood still, and others went on without this node. They are counted from 1. */
  | { readonly kind: 'lapsed'; readonly lapse: number; readonly ms: number }
  | { readonly kind: 'left' }
