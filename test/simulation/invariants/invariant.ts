import type { Cluster } from '../cluster.ts'
import type { Frame } from '../frames.ts'
import type { Machine } from '../machine.ts'
import type { SimulatedPod } from '../pods.ts'
import type { Flow } from '../traffic.ts'

/** Something that must hold at every moment. What an inspection returns is what is wrong, in a sentence. */
export interface Invariant {
  /** As a sentence. */
  readonly name: string
  /** After every event. */
  check?(): string | undefined
  /** Every `samplingMs`. */
  sample?(): string | undefined
  /** When no fault has been active for `quietMs`. Asked earlier too: then what is returned means that more time has to pass. */
  settled?(): string | undefined
  onSent?(flow: Flow): void
  onArrival?(flow: Flow, frame: Frame, by: Machine): string | undefined
  onServed?(flow: Flow, frame: Frame, at: SimulatedPod | undefined): string | undefined
  onAnswer?(flow: Flow, frame: Frame): string | undefined
  onEnd?(flow: Flow, machine: Machine, program: string, verdict: string): void
  onApplied?(machine: Machine): void
}

export type MakeInvariant = (cluster: Cluster) => Invariant

export const samplingMs = 100
/**
 * So long after the last trouble with the API server, every process hears news again.
 *
 *   a connection that was forgotten is noticed                                      40 s
 *   or a request that waits in vain is repeated (30 s), and its loop has a rest
 *   the new one begins, and its answer comes                                        10 s
 */
export const newsUs = 50_000_000
/** Every table has what it must have so long after the last fault. */
export const quietMs = 65_000
