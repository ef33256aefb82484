import { isDeepStrictEqual } from 'node:util'
import type { EgressNode, SelectedPods } from '../api/egress-node.ts'
import type { Tables } from '../decide/tables.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'

/**
 * All agents of a cluster receive the report of each, and pods change all the time. So all nodes together write at most ten
 * reports per second. Each node waits for a random time, up to
 *
 *   a tenth of a second for each node of the cluster
 */
const perNodeMs = 100
/** The minimum time between two writes of one node: for counts that only people read, and for what a policy's `Ready` waits for. */
const countIntervalMs = 5_000
const appliedIntervalMs = 1_000

interface PacedReportOptions {
  readonly clock: Clock
  readonly random: Random
  readonly minIntervalMs?: number
  /** Called when the report is due. */
  readonly onDue: () => void
}

/** A part of a node's report that changes often and that no packet waits for. */
export class PacedReport<T> {
  readonly #options: PacedReportOptions
  #dueMs: number | undefined
  #writtenMs = Number.NEGATIVE_INFINITY
  #stop: () => void = () => {}

  constructor(options: PacedReportOptions) {
    this.#options = options
  }

  /** What to report now: the present value if it is time, or else what was reported before. */
  next(known: T, reported: T | undefined, nodes: number): T {
    const { clock, random, onDue, minIntervalMs = countIntervalMs } = this.#options
    this.#stop()
    const nowMs = clock.monotonicMs()
    if (reported === undefined || isDeepStrictEqual(known, reported)) {
      this.#dueMs = undefined
      return known
    }
    this.#dueMs ??= Math.max(nowMs + random() * nodes * perNodeMs, this.#writtenMs + minIntervalMs)
    if (nowMs >= this.#dueMs) {
      this.#dueMs = undefined
      this.#writtenMs = nowMs
      return known
    }
    this.#stop = clock.after(this.#dueMs - nowMs, onDue)
    return reported
  }
}

/** What a node reports if it is time for it. */
export interface Paced {
  /** How many of this node's pods each policy selects. */
  readonly selected: readonly SelectedPods[]
  /** The policies that this node has applied. Undefined before the tables were written. */
  readonly appliedPolicies: string | undefined
  /** The same for the addresses of pools. */
  readonly appliedAddresses: string | undefined
}

/** All such parts of a node's report. */
export class PacedReports {
  readonly #selected: PacedReport<readonly SelectedPods[]>
  readonly #appliedPolicies: PacedReport<string>
  readonly #appliedAddresses: PacedReport<string>

  constructor(options: Omit<PacedReportOptions, 'minIntervalMs'>) {
    this.#selected = new PacedReport(options)
    this.#appliedPolicies = new PacedReport({ ...options, minIntervalMs: appliedIntervalMs })
    this.#appliedAddresses = new PacedReport({ ...options, minIntervalMs: appliedIntervalMs })
  }

  /** Before the tables were written for the first time, the report stays as it is. */
  next(
    tables: Pick<Tables, 'selected' | 'policiesDigest' | 'grantsDigest'> | undefined,
    reported: EgressNode['status'],
    nodes: number,
  ): Paced {
    if (tables === undefined)
      return {
        selected: reported?.selected ?? [],
        appliedPolicies: reported?.appliedPolicies,
        appliedAddresses: reported?.appliedAddresses,
      }
    return {
      selected: this.#selected.next(tables.selected, reported?.selected, nodes),
      appliedPolicies: this.#appliedPolicies.next(tables.policiesDigest, reported?.appliedPolicies, nodes),
      appliedAddresses: this.#appliedAddresses.next(tables.grantsDigest, reported?.appliedAddresses, nodes),
    }
  }
}
