import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'

/**
 * All agents of a cluster receive what one reports, and pods come and go. So the nodes together write ten times a second at
 * most, whatever happens: each waits by chance, for up to
 *
 *   a tenth of a second for each node of the cluster
 */
const perNodeMs = 100
/** Between two writes of one node. */
const minIntervalMs = 5_000

interface PacedReportOptions {
  readonly clock: Clock
  readonly random: Random
  /** The report is due. */
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

  /** What to report now: what is known, or what was reported before until it is time. */
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
