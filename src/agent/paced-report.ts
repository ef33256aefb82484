import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'

/**
 * All agents of a cluster receive the report of each, and pods change all the time. So all nodes together write at most ten
 * reports per second. Each node waits for a random time, up to
 *
 *   a tenth of a second for each node of the cluster
 */
const perNodeMs = 100
/** The minimum time between two writes of one node. */
const minIntervalMs = 5_000

interface PacedReportOptions {
  readonly clock: Clock
  readonly random: Random
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
    const { clock, random, onDue } = this.#options
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
