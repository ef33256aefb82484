import type { Registry } from 'prom-client'
import Histogram from 'prom-client/lib/histogram.js'
import type { Tables } from '../decide/tables.ts'
import { LoopTimes } from '../runtime/metrics/loop-times.ts'
import type { Outage } from './failover/outages.ts'

/** What the agent measures while it works, for its metrics. All other metrics are read at a scrape. */
export class Timings {
  readonly loops = new LoopTimes(['tables', 'report', 'leases'])
  readonly #failover = new Histogram({
    name: 'sallyport_failover_duration_seconds',
    help: 'How long packets of this node for an egress IP could reach no gateway, from the last answer of the failed gateway until this node sent to another one, or to the same one again. One for each egress IP and failover.',
    labelNames: ['gateway'],
    buckets: [0.1, 0.2, 0.4, 0.6, 1, 2, 5, 30, 300],
    registers: [],
  })
  readonly #leases = new Histogram({
    name: 'sallyport_lease_wait_seconds',
    help: 'How long this node waited for leased ports, from the demand until all gateways had confirmed the lease.',
    buckets: [0.01, 0.05, 0.1, 0.5, 2, 10, 60],
    registers: [],
  })

  /** `nodes` knows the gateway's name. */
  failedOver({ gateway, ms }: Outage, nodes: Tables['nodes'] | undefined): void {
    this.#failover.observe({ gateway: nodes?.get(gateway)?.name ?? gateway }, ms / 1000)
  }

  /** Called by the part that leases ports. */
  readonly ofPorts = {
    onRun: this.loops.note,
    onLeased: (waitedMs: number): void => this.#leases.observe(waitedMs / 1000),
  }

  registerIn(registry: Registry): void {
    this.loops.registerIn(registry)
    registry.registerMetric(this.#failover)
    registry.registerMetric(this.#leases)
  }
}
