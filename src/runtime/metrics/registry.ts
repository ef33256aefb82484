/* The whole package loads another HTTP client, the cluster module and summaries, which nothing here uses. */
import Counter from 'prom-client/lib/counter.js'
import collectDefaultMetrics from 'prom-client/lib/defaultMetrics.js'
import Gauge from 'prom-client/lib/gauge.js'
import Registry from 'prom-client/lib/registry.js'

export type Value = readonly [labels: Readonly<Record<string, string>>, value: number]
type Define = (name: string, help: string, labelNames: string[], read: () => readonly Value[]) => void

/**
 * Functions that define metrics. Values are read at each scrape, so that no metric outlives the object that it describes.
 * Counters are summed elsewhere.
 */
export interface Definitions {
  readonly gauge: Define
  readonly counter: Define
}

/** The event loop's delay is sampled this often. The library's 10 ms would be half of what an idle agent does. */
const loopDelayEveryMs = 1_000

/** Of the metrics about the process itself: memory, processor time, the event loop. */
const prefixes = { agent: 'sallyport_agent_', operator: 'sallyport_operator_' } as const

/** A registry with the metrics that every process has. */
export function createRegistry(component: 'agent' | 'operator', version: string): Registry {
  const registry = new Registry()
  collectDefaultMetrics({
    register: registry,
    prefix: prefixes[component],
    eventLoopMonitoringPrecision: loopDelayEveryMs,
  })
  definitionsIn(registry).gauge(
    'sallyport_build_info',
    'Always 1. The labels say which process this is, and its version.',
    ['component', 'version'],
    () => [[{ component, version }, 1]],
  )
  return registry
}

export function definitionsIn(registry: Registry): Definitions {
  const registers = [registry]
  return {
    gauge: (name, help, labelNames, read) => {
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset()
          for (const [labels, value] of read()) this.set(labels, value)
        },
      })
    },
    counter: (name, help, labelNames, read) => {
      new Counter({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset()
          for (const [labels, value] of read()) this.inc(labels, value)
        },
      })
    },
  }
}
