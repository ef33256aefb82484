import type { Registry } from 'prom-client'
import Counter from 'prom-client/lib/counter.js'
import Histogram from 'prom-client/lib/histogram.js'

/** How long the runs of a process's loops take, and how many fail. */
export class LoopTimes {
  readonly #duration = new Histogram({
    name: 'sallyport_reconciliation_duration_seconds',
    help: 'How long a run of a reconcile loop takes, from its start to the last write.',
    labelNames: ['loop'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
    registers: [],
  })
  readonly #failures = new Counter({
    name: 'sallyport_reconciliation_failures_total',
    help: 'Runs of a reconcile loop that failed. The loop tries again.',
    labelNames: ['loop'],
    registers: [],
  })

  constructor(loops: readonly string[]) {
    for (const loop of loops) this.#failures.inc({ loop }, 0)
  }

  readonly note = (loop: string, seconds: number, hasFailed: boolean): void => {
    this.#duration.observe({ loop }, seconds)
    if (hasFailed) this.#failures.inc({ loop })
  }

  registerIn(registry: Registry): void {
    registry.registerMetric(this.#duration)
    registry.registerMetric(this.#failures)
  }
}
