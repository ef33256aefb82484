import type { Datapath } from '../../datapath/datapath.ts'
import type { Configuration } from '../../install/configuration.ts'
import type { Machine } from '../../linux/machine.ts'
import type { Netlink } from '../../linux/netlink.ts'
import type { Address } from '../../net/address.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import { AddressWatch } from './address-watch.ts'
import { Announcements } from './announcements.ts'
import { type FailoverMoment, FailoverMoments } from './failover-moments.ts'
import { stepFailover } from './failover-rules.ts'
import { HeldAddresses, syncHeldAddresses } from './held-addresses.ts'
import type { MovePlan } from './moves.ts'
import { type Outage, Outages } from './outages.ts'
import { syncProxiedAddresses } from './proxied-addresses.ts'
import {
  type FromProber,
  flagIndex,
  newFlags,
  type ProberHandle,
  probeTimes,
  type StartProber,
} from './pulse/messages.ts'
import { timing } from './pulse/timing.ts'
import { relistTimeoutMs } from './rejoin.ts'
import {
  type FailoverEffect,
  type FailoverEvent,
  type FailoverState,
  type Moment,
  startOfFailover,
} from './state.ts'

interface FailoverOptions {
  /** This node's name. */
  readonly self: string
  readonly tables: Pick<Datapath['tables'], 'liveness' | 'egress_ips' | 'probed_gateways' | 'mappings'>
  readonly datapath: Pick<Datapath, 'present'>
  readonly netlink: Netlink
  readonly machine: Machine
  readonly startProber: StartProber
  readonly configuration: Pick<Configuration, 'probesAddresses'>
  /** A file that lists which addresses this agent added to devices, for the next agent. */
  readonly statePath: string
  readonly clock: Clock
  readonly log: Logger
  /** Called when something changed that the tables depend on. */
  readonly onChange: () => void
  /** Whether nothing of the API server reaches this node. */
  readonly receivesNothing: () => boolean
  /** Resolves when every watch has listed again, however long it takes. */
  readonly relist: () => Promise<void>
  /** Resolves when the tables are written by a decision that was made after the call. */
  readonly settle: () => Promise<void>
  /** Called when the packets of an egress IP reach a gateway again. */
  readonly onOutage?: (outage: Outage) => void
}

const tickMs = 1_000
const beatMs = 500

/** Carries out the effects of `stepFailover`: on devices, on the wire, by timers, and through the prober. */
export class Failover {
  readonly #options: FailoverOptions
  readonly #held: HeldAddresses
  readonly #announcements: Announcements
  readonly #addresses: AddressWatch
  readonly #flags = newFlags()
  readonly #prober: ProberHandle
  readonly #left = Promise.withResolvers<void>()
  readonly #stopBeat: () => void
  readonly #outages = new Outages()
  readonly #moments: FailoverMoments
  #state: FailoverState

  constructor(options: FailoverOptions) {
    const { self, tables, datapath, clock, startProber, statePath } = options
    this.#options = options
    this.#held = new HeldAddresses(statePath)
    this.#announcements = new Announcements(options)
    this.#moments = new FailoverMoments(options)
    this.#addresses = new AddressWatch({
      ...options,
      onClaim: (claim) => this.dispatch({ kind: 'claimed', claim }),
      onProbed: (address) => this.dispatch({ kind: 'probed', address }),
    })
    const inherited = datapath.present('egress_ips').map(([address]) => address)
    this.#state = startOfFailover(self, this.#held.devices, inherited)
    this.#prober = startProber({ flags: this.#flags, report: (report) => this.#take(report) })
    this.#stopBeat = clock.every(beatMs, () => Atomics.add(this.#flags, flagIndex.beat, 1))
    const aliveUntilNs = tables.liveness.get(0)?.alive_until_ns ?? 0n
    if (aliveUntilNs > clock.monotonicNs() + timing.aliveNs) this.dispatch({ kind: 'predecessorIsAlive' })
  }

  /** The state at this moment. It is never changed, only replaced. */
  get state(): FailoverState {
    return this.#state
  }

  /** For people: when the last probes were sent, and those before them, in ns of CLOCK_MONOTONIC, and what the last failovers looked like. */
  get seen(): { readonly probedAtNs: readonly bigint[]; readonly moments: readonly FailoverMoment[] } {
    return { probedAtNs: [...probeTimes(this.#flags)], moments: this.#moments.list }
  }

  /** Runs until the signal. Then the prober stops in order, so that no other node takes over for a minute. */
  async start(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    this.dispatch({ kind: 'started' })
    while (!signal.aborted) {
      await clock.sleep(tickMs, signal)
      this.dispatch({ kind: 'tick', receivesNothing: this.#options.receivesNothing() })
      this.#addresses.tick()
    }
    this.#addresses[Symbol.dispose]()
    this.#moments[Symbol.dispose]()
    this.#stopBeat()
    this.#prober.send({ kind: 'leave' })
    await this.#left.promise
    await this.#prober.stop()
  }

  dispatch(event: FailoverEvent): void {
    const { clock } = this.#options
    const now = { ms: clock.monotonicMs(), ns: clock.monotonicNs() }
    const before = this.#state
    const { state, effects } = stepFailover(before, event, now)
    this.#state = state
    if (event.kind === 'verdicts') this.#noteOutages(before, now)
    for (const effect of effects) this.#apply(effect)
  }

  #noteOutages(before: FailoverState, now: Moment): void {
    const { tables, onOutage } = this.#options
    /* A gateway that refuses a probe has forwarded until then: only its agent is gone. */
    const unansweredMs = (gateway: Address): number => {
      const answeredNs = tables.probed_gateways.get(gateway)?.answered_ns ?? 0n
      return answeredNs === 0n ? 0 : Number(now.ns - answeredNs) / 1e6
    }
    for (const outage of this.#outages.note(before, this.#state, now.ms, unansweredMs)) {
      this.#moments.moved(outage)
      onOutage?.(outage)
    }
  }

  #take(report: FromProber): void {
    if (report.kind === 'left') this.#left.resolve()
    else this.dispatch(report)
  }

  #apply(effect: FailoverEffect): void {
    switch (effect.kind) {
      case 'answerProbes':
        Atomics.store(this.#flags, flagIndex.aliveAfterAbsence, effect.absence + 1)
        return
      case 'refuseProbes':
        Atomics.store(this.#flags, flagIndex.aliveAfterAbsence, 0)
        return
      case 'watch':
      case 'avoid':
        this.#prober.send(effect)
        return
      case 'relist':
        void this.#relist(effect.rejoin)
        return
      case 'settle':
        void this.#settle(effect.rejoin, effect.afterMs)
        return
      case 'move':
        this.#move(effect.plan)
        return
      case 'announce':
        this.#announcements.announce(effect.address, effect.device)
        this.#moments.announced(effect.address)
        return
      case 'probeAddress':
        this.#addresses.probe(effect.address, effect.link)
        return
      case 'watchAddresses':
        this.#addresses.watch(effect.links)
        return
      case 'defend':
        this.#announcements.announceOnce(effect.link, effect.address)
        return
      case 'stopAnnouncing':
        if (effect.address === undefined) this.#announcements.stopAll()
        else this.#announcements.stop(effect.address)
        return
      case 'reconcile':
        this.#options.onChange()
        return
      case 'log':
        this.#options.log[effect.level](effect.fields, effect.message)
    }
  }

  async #relist(rejoin: number): Promise<void> {
    const { clock, tables, relist } = this.#options
    const stop = clock.after(relistTimeoutMs, () => {
      const hasTables = tables.egress_ips.count() > 0
      this.dispatch({ kind: 'relistTimedOut', rejoin, hasTables })
    })
    await relist()
    stop()
    this.dispatch({ kind: 'relisted', rejoin })
  }

  async #settle(rejoin: number, afterMs: number): Promise<void> {
    const { clock, settle } = this.#options
    if (afterMs > 0) await clock.sleep(afterMs)
    const kind = await settle().then(
      () => 'settled' as const,
      () => 'settleFailed' as const /* the loop reports its own failures */,
    )
    this.dispatch({ kind, rejoin })
  }

  /** If one address cannot be moved, this becomes a problem. If addresses cannot be listed, the whole move fails. */
  #move(plan: MovePlan): void {
    const { netlink } = this.#options
    try {
      const { added, problems } = syncHeldAddresses(netlink, plan.placed, this.#held)
      const unproxied = syncProxiedAddresses(this.#options, plan.proxied)
      const held = this.#held.devices
      this.dispatch({ kind: 'moved', plan, added, held, problems: [...problems, ...unproxied] })
    } catch (error) {
      this.dispatch({ kind: 'moveFailed', message: error instanceof Error ? error.message : String(error) })
    }
  }
}
