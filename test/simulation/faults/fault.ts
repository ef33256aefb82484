import type { Cluster } from '../cluster.ts'
import type { Random } from '../random.ts'
import type { Scenario } from '../scenario.ts'

/** Something that goes wrong for a while. */
export interface Fault {
  /** As a sentence. */
  readonly name: string
  readonly forMs: number
  /** What it needs for itself: no two active faults have the same. */
  readonly subject: string
  begin(): void | Promise<void>
  end(): void | Promise<void>
}

export interface FaultContext {
  readonly cluster: Cluster
  readonly scenario: Scenario
  readonly random: Random
}

/** Undefined where there is nothing that it could happen to. */
export type MakeFault = (context: FaultContext) => Fault | undefined

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
