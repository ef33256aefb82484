import type { Cluster } from '../cluster.ts'
import type { Frame } from '../frames.ts'
import type { Machine } from '../machine.ts'
import type { Flow } from '../traffic.ts'

/** Something that must hold at every moment. What an inspection returns is what is wrong, in a sentence. */
export interface Invariant {
  /** As a sentence. */
  readonly name: string
  /** After every event. */
  check?(): string | undefined
  /** Every `samplingMs`. */
  sample?(): string | undefined
  /** When no fault has been active for `quietMs`. */
  settled?(): string | undefined
  onSent?(flow: Flow): void
  onArrival?(flow: Flow, frame: Frame, by: Machine): string | undefined
  onEnd?(flow: Flow, machine: Machine, program: string, verdict: string): void
  onApplied?(machine: Machine): void
}

export type MakeInvariant = (cluster: Cluster) => Invariant

export const samplingMs = 100
/** Every table has what it must have so long after the last fault. */
export const quietMs = 90_000
