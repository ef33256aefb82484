import { Worker } from 'node:worker_threads'
import type { Datapath } from '../../../datapath/datapath.ts'
import { distrustMs, flapMemoryMs, type GatewayLife } from '../../../decide/gateways/takeover.ts'
import type { Address } from '../../../net/address.ts'
import type { Clock } from '../../../runtime/clock.ts'
import type { Logger } from '../../../runtime/log.ts'
import type { Order, PulseData, Report, Verdict, Watched } from './timing.ts'

export interface PulseOptions {
  readonly datapath: Datapath
  readonly tunnelPort: number
  readonly clock: Clock
  readonly log: Logger
  /** A gateway fell silent, or is heard again. */
  readonly onChange: () => void
  /** This process stood still, and others went on without it: this node is not well before `setWell`. */
  readonly onLapse: () => void
}

const beatMs = 500

/** This node's sign of life, and its ear for others. */
export class Pulse {
  readonly #options: PulseOptions
  readonly #worker: Worker
  readonly #flags = new Int32Array(new SharedArrayBuffer(8))
  readonly #lives = new Map<Address, GatewayLife>()
  readonly #deaths = new Map<Address, number[]>()
  readonly #distrustedUntilNs = new Map<Address, bigint>()
  readonly #beat: NodeJS.Timeout
  readonly #left = Promise.withResolvers<void>()
  #watched = ''
  #lapse = 0
  #cutOffSinceMs: number | undefined

  constructor(options: PulseOptions) {
    const { datapath, tunnelPort, log } = options
    this.#options = options
    const data: PulseData = {
      objectFile: datapath.objectFile,
      maps: { vitals: datapath.tables.liveness.raw, heard: datapath.tables.probed_gateways.raw },
      shared: this.#flags.buffer,
      tunnelPort,
    }
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: data,
      execArgv: ['--disable-warning=ExperimentalWarning'],
      resourceLimits: { maxOldGenerationSizeMb: 24, maxYoungGenerationSizeMb: 2 },
    })
    this.#worker.on('message', (report: Report) => this.#take(report))
    /* Without it the node counts as dead, and judges nobody: the agent had better start anew. */
    this.#worker.on('error', (error) => {
      log.fatal({ err: error }, 'the thread that probes gateways failed')
      process.exit(1)
    })
    this.#beat = setInterval(() => Atomics.add(this.#flags, 0, 1), beatMs)
  }

  /** What is known of the gateways that are watched. */
  get lives(): ReadonlyMap<Address, GatewayLife> {
    return this.#lives
  }

  get silent(): ReadonlySet<Address> {
    return new Set([...this.#lives].filter(([, { isSilent }]) => isSilent).map(([gateway]) => gateway))
  }

  /** Since when this node has reached nobody, in ms of the monotonic clock; undefined while it reaches somebody, or asks nobody. */
  get cutOffSinceMs(): number | undefined {
    return this.#cutOffSinceMs
  }

  /** How often this node was silent for so long that others went on without it. */
  get lapse(): number {
    return this.#lapse
  }

  /** The tables hold what was said after that lapse: this node answers probes, unless there was another one meanwhile. */
  setWell(lapse: number): void {
    Atomics.store(this.#flags, 1, lapse + 1)
  }

  /** This node refuses probes until `setWell` is called: others must not use it. */
  setUnwell(): void {
    Atomics.store(this.#flags, 1, 0)
  }

  watch({ gateways, witnesses, ...rest }: Watched): void {
    const wanted = { gateways: gateways.toSorted(), witnesses: witnesses.toSorted(), ...rest }
    const watched = JSON.stringify(wanted)
    if (watched === this.#watched) return
    this.#watched = watched
    for (const known of this.#lives.keys()) if (!gateways.includes(known)) this.#lives.delete(known)
    this.#order({ kind: 'watch', ...wanted })
    this.#order({ kind: 'distrust', until: this.#distrustedUntilNs })
  }

  #order(order: Order): void {
    this.#worker.postMessage(order)
  }

  #take(report: Report): void {
    switch (report.kind) {
      case 'lives':
        this.#note(report.changes)
        break
      case 'reach':
        this.#noteReach(report.isCutOff)
        break
      case 'unasked':
        this.#options.log.warn(
          { problem: report.problem },
          'ARP cannot check whether the other node is alive; this node does not take over its egress IPs',
        )
        break
      case 'lapsed':
        this.#lapse = report.lapse
        this.#options.log.warn(
          { ms: report.ms },
          'the agent did not run for some time; the node answers no probes until its tables are current',
        )
        this.#options.onLapse()
        break
      case 'left':
        this.#left.resolve()
        break
    }
  }

  #noteReach(isCutOff: boolean): void {
    const { clock, log, onChange } = this.#options
    this.#cutOffSinceMs = isCutOff ? clock.monotonicMs() : undefined
    if (isCutOff) log.warn('this node reaches no other node through the tunnel; it takes over no egress IP')
    else log.info('this node reaches other nodes through the tunnel again')
    onChange()
  }

  #note(changes: readonly (readonly [Address, Verdict])[]): void {
    const { clock, log, onChange } = this.#options
    const nowMs = clock.monotonicMs()
    for (const [gateway, verdict] of changes) {
      const before = this.#lives.get(gateway)
      const { isSilent } = verdict
      const isNews = before?.isSilent !== isSilent
      this.#lives.set(gateway, { ...verdict, sinceMs: isNews ? nowMs : before.sinceMs })
      if (!isNews) continue
      if (isSilent) this.#noteDeath(gateway, nowMs)
      if (isSilent || before !== undefined)
        log.info({ gateway }, isSilent ? 'gateway is unreachable' : 'gateway is reachable again')
    }
    onChange()
  }

  #noteDeath(gateway: Address, nowMs: number): void {
    const deaths = [...(this.#deaths.get(gateway) ?? []).filter((atMs) => nowMs - atMs < flapMemoryMs), nowMs]
    this.#deaths.set(gateway, deaths)
    const forMs = distrustMs(deaths.length)
    if (forMs === 0) return
    const untilNs = this.#options.clock.monotonicNs() + BigInt(forMs) * 1_000_000n
    this.#distrustedUntilNs.set(gateway, untilNs)
    this.#order({ kind: 'distrust', until: this.#distrustedUntilNs })
  }

  /** In good order: for a minute nobody takes this node's place, if it had one, so that the next agent can start. */
  async leave(): Promise<void> {
    clearInterval(this.#beat)
    this.#order({ kind: 'leave' })
    await this.#left.promise
    await this.#worker.terminate()
  }
}
