import type { Datapath } from '../../datapath/datapath.ts'
import type { OwnLeases } from '../../decide/world.ts'
import type { Address } from '../../net/address.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { Loop } from '../../runtime/reconcile.ts'
import { stepPorts } from './port-demand.ts'
import {
  isWaiting,
  ownLeases,
  type PortEffect,
  type PortEvent,
  type PortReport,
  type PortState,
  portReport,
  startOfPorts,
} from './port-state.ts'
import { Sweep } from './sweep.ts'

interface LeasedPortsOptions {
  readonly datapath: Datapath
  /** How long leased ports stay unused before they are given back. */
  readonly idleMs: number
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** This node's tables change. */
  readonly onChange: () => void
  /** Writes what this node says of ports. */
  readonly report: (status: PortReport) => Promise<void>
}

const maxSweepMs = 60_000
const minSweepMs = 1_000

/** Pressure on several pools, and what several addresses' tables hold, go out together. */
const reportTogetherMs = 2

/** Connections that are opened together are there within so long. */
const burstMs = 20

/** Carries out what `stepPorts` decides, and tells it what the datapath says of ports. */
export class LeasedPorts {
  readonly #options: LeasedPortsOptions
  readonly #sweep = new Sweep()
  readonly #reporting: Loop
  #state: PortState

  constructor(options: LeasedPortsOptions) {
    this.#options = options
    this.#state = startOfPorts(options.idleMs)
    this.#reporting = new Loop({ ...options, name: 'leases', run: () => this.#report() })
  }

  /** One moment of it; later ones are other objects. */
  get state(): PortState {
    return this.#state
  }

  get own(): OwnLeases {
    return ownLeases(this.#state)
  }

  get isWaiting(): boolean {
    return isWaiting(this.#state)
  }

  async start(signal: AbortSignal): Promise<void> {
    const { datapath, clock, idleMs } = this.#options
    const pools = [...datapath.tables.pools.entries()].flatMap(([{ address, purpose }, blocks]) =>
      purpose === 'egress' ? [[address, blocks] as const] : [],
    )
    this.dispatch({ kind: 'restored', pools: new Map(pools) })
    const sweepMs = Math.min(maxSweepMs, Math.max(idleMs, minSweepMs))
    const stopSweep = clock.every(sweepMs, () => this.#runSweep())
    try {
      await Promise.all([this.#reporting.start(signal), this.#followPressure(signal)])
    } finally {
      stopSweep()
    }
  }

  dispatch(event: PortEvent): void {
    const { state, effects } = stepPorts(this.#state, event, this.#options.clock.monotonicMs())
    this.#state = state
    for (const effect of effects) this.#apply(effect)
  }

  #apply(effect: PortEffect): void {
    switch (effect.kind) {
      case 'report':
        this.#reporting.trigger()
        return
      case 'reconcile':
        this.#options.onChange()
        return
      case 'fulfilled': {
        const { address: egressIP, blocks, tookMs } = effect
        this.#options.log.info({ egressIP, blocks, tookMs }, 'ports leased')
      }
    }
  }

  /** Each report is waited for: this node waits for ports, and other nodes wait for what it confirms. */
  async #report(): Promise<void> {
    await this.#options.clock.sleep(reportTogetherMs)
    await this.#options.report(portReport(this.#state))
  }

  /** A burst is over before its second record is due: how many flows it cost stands in the table. */
  async #followPressure(signal: AbortSignal): Promise<void> {
    const { datapath, clock } = this.#options
    for await (const { port, refused } of datapath.pressure(signal)) {
      const address = port.source
      this.dispatch({ kind: 'pressure', address, refused })
      clock.after(burstMs, () =>
        this.dispatch({ kind: 'pressure', address, refused: this.#refused(address) ?? refused }),
      )
    }
  }

  #refused(address: Address): number | undefined {
    return this.#options.datapath.tables.pool_pressures.get({ address, purpose: 'egress' })?.refused
  }

  #runSweep(): void {
    const { datapath, log } = this.#options
    try {
      const { removed, used } = this.#sweep.run(datapath)
      if (removed > 0) log.debug({ removed }, 'deleted expired mappings and stray ports')
      this.dispatch({ kind: 'swept', used })
    } catch (error) {
      log.warn({ err: error }, 'deleting expired mappings failed')
    }
  }
}
