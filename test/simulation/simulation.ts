import { join } from 'node:path'
import { Cluster } from './cluster.ts'
import { allFaults, drawFault, type Fault } from './faults/draw.ts'
import type { MakeFault } from './faults/fault.ts'
import { invariants } from './invariants/all.ts'
import { type Invariant, type MakeInvariant, quietMs, samplingMs } from './invariants/invariant.ts'
import { restartDeviceNumbers } from './kernel-network.ts'
import type { ProgramPool } from './loaded-programs.ts'
import { Killed } from './process.ts'
import { Random } from './random.ts'
import { createPolicy, drawScenario, type Scenario } from './scenario.ts'
import { Story } from './story.ts'
import { VirtualClock } from './virtual-clock.ts'
import { installVirtualTime } from './virtual-globals.ts'

/** When every simulation begins, for people: a cluster's objects have dates. */
const epochMs = 1_800_000_000_000
/** A cluster that starts undisturbed has everything in place by then. */
const startMs = 5_000

const settleTries = 30
const settlePauseMs = 1_000
/** Of a hundred seeds so many are left alone for `quietMs`: some things show only when no news can be on its way any more. */
const longPercent = 34
/** The others end as soon as everything is as it must be at this many moments in a row, with so much time between them. */
const moments = 3
const momentMs = 4_000

export interface SimulationOptions {
  readonly seed: number
  /** How long faults happen. */
  readonly minutes: number
  readonly pool: ProgramPool
  /** A folder in memory for what processes keep on disk. */
  readonly directory: string
  readonly listener?: (line: string) => void
  readonly settings?: Readonly<Record<string, string>>
  readonly scenario?: Scenario
  /** The kinds that are drawn from. Default: all. */
  readonly faults?: readonly MakeFault[]
  /** Which faults happen, and when. Default: drawn from the seed. */
  readonly play?: (simulation: Simulation) => Promise<void>
  readonly invariants?: readonly MakeInvariant[]
}

export interface Outcome {
  readonly seed: number
  readonly virtualMs: number
  /** What was broken, and how. */
  readonly failure: { readonly invariant: string; readonly problem: string } | undefined
  readonly story: Story
}

class Broken extends Error {
  readonly invariant: string

  constructor(invariant: string, problem: string) {
    super(problem)
    this.invariant = invariant
  }
}

/** One cluster from its first moment to its last. */
export class Simulation {
  readonly clock = new VirtualClock()
  readonly random: Random
  readonly story: Story
  readonly cluster: Cluster
  readonly #invariants: readonly Invariant[]
  readonly #options: SimulationOptions
  #problem: Broken | undefined

  constructor(options: SimulationOptions) {
    const { seed, pool, directory, listener } = options
    this.#options = options
    this.random = new Random(seed)
    this.story = new Story(this.clock, listener)
    installVirtualTime({ clock: this.clock, random: this.random.fork('globals'), epochMs })
    restartDeviceNumbers()
    const settings = options.settings ?? drawSettings(this.random.fork('settings'), seed)
    this.story.tell('admin', `installs with ${JSON.stringify(settings)}`)
    this.cluster = new Cluster({
      clock: this.clock,
      random: this.random.fork('cluster'),
      story: this.story,
      pool,
      directory: join(directory, `seed-${seed}`),
      settings,
      epochMs,
      listener: {
        onSent: (flow) => this.#each((invariant) => invariant.onSent?.(flow)),
        onArrival: (flow, frame, by) => this.#each((invariant) => invariant.onArrival?.(flow, frame, by)),
        onServed: (flow, frame, at) => this.#each((invariant) => invariant.onServed?.(flow, frame, at)),
        onAnswer: (flow, frame) => this.#each((invariant) => invariant.onAnswer?.(flow, frame)),
        onEnd: (flow, machine, program, verdict) =>
          this.#each((invariant) => invariant.onEnd?.(flow, machine, program, verdict)),
        onApplied: (machine) => this.#each((invariant) => invariant.onApplied?.(machine)),
      },
    })
    this.#invariants = (options.invariants ?? invariants).map((make) => make(this.cluster))
  }

  #each(ask: (invariant: Invariant) => unknown): void {
    for (const invariant of this.#invariants) {
      const problem = ask(invariant)
      if (typeof problem === 'string') this.#problem ??= new Broken(invariant.name, problem)
    }
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    await this.clock.pass(this.clock.nowUs + ms * 1000, () => {
      this.#each((invariant) => invariant.check?.())
      if (this.#problem !== undefined) throw this.#problem
    })
  }

  #sample(): void {
    this.clock.after(samplingMs, () => this.#sample())
    this.#each((invariant) => invariant.sample?.())
  }

  async run(): Promise<Outcome> {
    const { seed, scenario = drawScenario(this.random.fork('scenario')), play } = this.#options
    const onRejection = (error: unknown): void => {
      if (!(error instanceof Killed))
        this.#problem ??= new Broken('no promise is left behind', describe(error))
    }
    process.on('unhandledRejection', onRejection)
    const outcome = { seed, story: this.story }
    try {
      await this.#begin(scenario)
      await (play === undefined ? this.#faults(scenario) : play(this))
      await this.#settle()
      return { ...outcome, virtualMs: this.clock.nowMs, failure: undefined }
    } catch (error) {
      const failure =
        error instanceof Broken
          ? { invariant: error.invariant, problem: error.message }
          : { invariant: 'nothing throws', problem: describe(error) }
      return { ...outcome, virtualMs: this.clock.nowMs, failure }
    } finally {
      process.off('unhandledRejection', onRejection)
      this.cluster[Symbol.dispose]()
    }
  }

  /** What is asked of the API server goes on while time stands still. */
  async #begin({ nodes, policies, pods }: Scenario): Promise<void> {
    await this.cluster.api.install()
    await this.pass(100)
    this.cluster.startOperator('operator1')
    for (const node of nodes) await this.cluster.addNode(node)
    for (const policy of policies) await createPolicy(this.cluster, policy)
    for (const { name, app, machine } of pods) await this.cluster.addPod({ name, labels: { app } }, machine)
    await this.cluster.services.begin()
    this.#sample()
    await this.pass(startMs)
  }

  async #faults(scenario: Scenario): Promise<void> {
    const random = this.random.fork('faults')
    const endMs = this.clock.nowMs + this.#options.minutes * 60_000
    const kinds = this.#options.faults ?? [...allFaults.values()]
    const active = new Set<Fault>()
    const end = async (fault: Fault): Promise<void> => {
      if (!active.delete(fault)) return
      this.story.tell('fault', `over: ${fault.name}`)
      await fault.end()
    }
    while (this.clock.nowMs < endMs) {
      const fault = drawFault({ cluster: this.cluster, scenario, random }, [...active], kinds)
      if (fault !== undefined) {
        this.story.tell('fault', fault.name)
        active.add(fault)
        await fault.begin()
        this.clock.after(fault.forMs, () => void end(fault))
      }
      await this.pass(random.within(200, 8_000))
    }
    for (const fault of [...active]) await end(fault)
  }

  /** Whatever was broken is whole, and the cluster is left alone. */
  async #settle(): Promise<void> {
    this.story.tell('fault', 'all faults are over')
    this.cluster.services.isCalm = true
    if (this.random.fork('settle').percent(longPercent)) await this.pass(quietMs)
    else if (await this.#isSettledEarly()) return
    /* Ports are leased all the time: what is not as it must be may be on its way. */
    for (let tries = 0; tries < settleTries; tries++) {
      const unsettled = this.#unsettled()
      if (unsettled === undefined) return
      if (tries === settleTries - 1) throw unsettled
      await this.pass(settlePauseMs)
    }
  }

  async #isSettledEarly(): Promise<boolean> {
    let good = 0
    for (let ms = 0; ms < quietMs; ms += momentMs) {
      await this.pass(momentMs)
      good = this.#unsettled() === undefined ? good + 1 : 0
      if (good === moments) return true
    }
    return false
  }

  #unsettled(): Broken | undefined {
    for (const invariant of this.#invariants) {
      const problem = invariant.settled?.()
      if (problem !== undefined) return new Broken(invariant.name, problem)
    }
    return undefined
  }
}

/** In every other seed nodes send each other packets without a tunnel. The seeds 3, 9, 15 and so on have Services, and no kube-proxy. */
function drawSettings(random: Random, seed: number): Readonly<Record<string, string>> {
  const path = { 'egress-path': random.percent(50) ? 'auto' : 'tunnel' }
  return seed % 6 === 3 ? { ...path, 'kube-proxy-replacement': 'strict' } : path
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
