import type { Datapath } from '../../datapath/datapath.ts'
import type { OwnLeases } from '../../decide/world.ts'
import type { Address } from '../../net/address.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import type { LoopTimes } from '../../runtime/metrics/loop-times.ts'
import type { Random } from '../../runtime/random.ts'
import { Loop } from '../../runtime/reconcile.ts'
import { measureFullness } from './fullness.ts'
import { stepPorts } from './port-demand.ts'
import {
  isPressed,
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
  /** Leased ports are returned after they have been idle for this long. */
  readonly idleMs: number
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly onRun?: LoopTimes['note']
  /** Called when this node's tables change. */
  readonly onChange: () => void
  /** Called when a demand was met. */
  readonly onLeased?: (waitedMs: number) => void
  /** Called between the steps of a sweep. */
  readonly onSweptSome?: () => void
  /** Writes this node's report about ports. */
  readonly report: (status: PortReport) => Promise<void>
}

const maxSweepMs = 60_000
const minSweepMs = 1_000
/** The pause between sweeps while other nodes wait for ports, or a pod comes close to its limit. */
const sweepAgainMs = 100

/** Within this time, pressure on several pools and changes of several tables go into one report. */
const reportTogetherMs = 2

/** Connections that are opened together all arrive within this time. */
const burstMs = 20

/** Carries out what `stepPorts` decides, and passes on what the datapath reports about ports. */
export class LeasedPorts {
  readonly #options: LeasedPortsOptions
  readonly #sweep = new Sweep()
  readonly #reporting: Loop
  #state: PortState
  #isSweepDue = false
  #sweptAtMs = Number.NEGATIVE_INFINITY
  #sweepTookMs = 0

  constructor(options: LeasedPortsOptions) {
    this.#options = options
    this.#state = startOfPorts(options.idleMs)
    this.#reporting = new Loop({ ...options, name: 'leases', run: () => this.#report() })
  }

  /** The state at this moment. It is never changed, only replaced. */
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
    const pools = datapath
      .present('pools')
      .flatMap(([{ address, purpose }, blocks]) => (purpose === 'egress' ? [[address, blocks] as const] : []))
    this.dispatch({ kind: 'restored', pools: new Map(pools) })
    const sweepMs = Math.min(maxSweepMs, Math.max(idleMs, minSweepMs))
    const stopSweep = clock.every(sweepMs, () => this.#runSweep())
    const stopPressed = clock.every(minSweepMs, () => {
      if (isPressed(this.#state)) this.#sweepSoon()
    })
    try {
      await Promise.all([this.#reporting.start(signal), this.#followPressure(signal)])
    } finally {
      stopSweep()
      stopPressed()
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
      case 'sweep':
        this.#sweepSoon()
        return
      case 'fulfilled': {
        const { address: egressIP, blocks, tookMs } = effect
        this.#options.log.info({ egressIP, blocks, tookMs }, 'ports leased')
        this.#options.onLeased?.(tookMs)
      }
    }
  }

  /** Each report is awaited, because this node waits for ports, and other nodes wait for its confirmations. */
  async #report(): Promise<void> {
    await this.#options.clock.sleep(reportTogetherMs)
    await this.#options.report(portReport(this.#state))
  }

  /** A burst is over before its second record arrives. The table says how many flows found no port. */
  async #followPressure(signal: AbortSignal): Promise<void> {
    const { datapath, clock, random } = this.#options
    for await (const { port, refused } of datapath.pressure(signal)) {
      const address = port.source
      const press = (refusedNow: number): void => {
        const fullness = measureFullness(datapath, port, random)
        this.dispatch({ kind: 'pressure', address, refused: refusedNow, fullness })
      }
      press(refused)
      clock.after(burstMs, () => press(this.#refused(address) ?? refused))
      this.#sweepSoon()
    }
  }

  #refused(address: Address): number | undefined {
    return this.#options.datapath.tables.pool_pressures.get({ address, purpose: 'egress' })?.refused
  }

  /** Sweeps take at most a tenth of the time, because a node may have half a million flows. */
  #sweepSoon(): void {
    if (this.#isSweepDue) return
    this.#isSweepDue = true
    const { clock } = this.#options
    const nextMs = this.#sweptAtMs + Math.max(sweepAgainMs, 9 * this.#sweepTookMs)
    clock.after(Math.max(nextMs - clock.monotonicMs(), 0), () => this.#runSweep())
  }

  #runSweep(): void {
    const { datapath, clock, log, onSweptSome } = this.#options
    const startMs = clock.monotonicMs()
    this.#isSweepDue = false
    try {
      const { removed, uses } = this.#sweep.run(datapath, onSweptSome)
      this.#sweptAtMs = clock.monotonicMs()
      this.#sweepTookMs = this.#sweptAtMs - startMs
      if (removed > 0) log.debug({ removed }, 'deleted expired mappings and stray ports')
      this.dispatch({ kind: 'swept', uses })
    } catch (error) {
      log.warn({ err: error }, 'deleting expired mappings failed')
    }
  }
}
