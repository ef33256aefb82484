import type { Settings } from '../decide/world.ts'
import { leaderLeaseName } from '../install/manifest.ts'
import type { KubeClient } from '../kube/client.ts'
import { coreResource } from '../kube/cluster-objects.ts'
import { Leadership } from '../kube/leader.ts'
import { Attempts } from '../runtime/attempts.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import { LoopTimes } from '../runtime/metrics/loop-times.ts'
import type { Random } from '../runtime/random.ts'
import { Loop } from '../runtime/reconcile.ts'
import { applyPolicyStatus, applySlots } from './apply.ts'
import { applyLeases, tellExhaustion } from './apply-leases.ts'
import { decideLeases, decideStatus, type Memory, type Seen, startOfMemory } from './decisions.ts'
import { EventWriter } from './event-writer.ts'
import { EventRecorder } from './events.ts'
import { createMetrics, type Observed } from './metrics.ts'
import { StatuslessKinds } from './missing-status.ts'
import { Observation } from './observe.ts'

interface OperatorOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly settings: Settings
  /** The namespace of the Lease that names the leader. */
  readonly namespace: string
  /** Unique among all operators. */
  readonly identity: string
}

const resyncMs = 30_000
/** A short maximum, because one object that the API server always refuses must not delay all others. */
const maxPauseMs = 2_000

/** Observes, decides and applies: slots, leases, and the status of policies. */
export class Operator {
  readonly #options: OperatorOptions
  readonly #observation: Observation
  readonly #leadership: Leadership
  readonly #recorder: EventRecorder
  readonly #eventWriter: EventWriter
  readonly #statusless: StatuslessKinds
  readonly #loop: Loop
  /** Pods wait for ports, so no other work may delay leases. */
  readonly #leaseLoop: Loop
  readonly #times = new LoopTimes(['operator', 'leases'])
  readonly #metrics: ReturnType<typeof createMetrics>
  #memory: Memory = startOfMemory
  #plans: Observed['plans'] = []
  #stopDue: () => void = () => {}

  constructor(options: OperatorOptions) {
    const { client, clock, random, log, identity } = options
    this.#options = options
    this.#observation = new Observation(client, { clock, random, log, onChange: () => this.#trigger() })
    this.#leadership = new Leadership(client, { ...options, name: leaderLeaseName })
    const events = client.resource(coreResource('events', true))
    this.#recorder = new EventRecorder(events, { clock, log, instance: identity })
    this.#eventWriter = new EventWriter(this.#recorder)
    this.#statusless = new StatuslessKinds(clock, log)
    const loops = { clock, random, log, maxPauseMs, onRun: this.#times.note }
    this.#metrics = createMetrics(this.#times, () => this.#observed())
    this.#loop = new Loop({
      ...loops,
      name: 'operator',
      minIntervalMs: 100,
      run: () => this.#whileLeading((seen) => this.#reconcile(seen)),
    })
    this.#leaseLoop = new Loop({
      ...loops,
      name: 'leases',
      run: () => this.#whileLeading((seen) => this.#reconcileLeases(seen)),
    })
  }

  /** In the text format of Prometheus. */
  metrics(): Promise<string> {
    return this.#metrics.metrics()
  }

  #observed(): Observed {
    const { isLeader } = this.#leadership
    return {
      isLeader,
      world: isLeader ? this.#observation.world(this.#options.settings) : undefined,
      plans: isLeader ? this.#plans : [],
      watches: this.#observation.watches,
    }
  }

  #trigger(): void {
    this.#loop.trigger()
    this.#leaseLoop.trigger()
  }

  /** Runs until the signal, and then releases the Lease, so that another operator can lead at once. */
  async start(signal: AbortSignal): Promise<void> {
    const stopResync = this.#options.clock.every(resyncMs, () => this.#trigger())
    try {
      await Promise.all([
        this.#observation.start(signal),
        this.#loop.start(signal),
        this.#leaseLoop.start(signal),
        this.#leadership.start(signal, () => this.#trigger()),
      ])
      await this.#leadership.release()
    } finally {
      stopResync()
      this.#stopDue()
    }
  }

  /** Only the leader decides, and only after every watch has listed. */
  async #whileLeading(run: (seen: Seen) => Promise<void>): Promise<void> {
    const { term } = this.#leadership
    if (!this.#observation.hasSynced || term === undefined) return
    await run({ world: this.#observation.world(this.#options.settings), term })
  }

  async #reconcile(seen: Seen): Promise<void> {
    const { client, clock, log } = this.#options
    const { world } = seen
    const decision = decideStatus(this.#memory, seen, clock.monotonicMs())
    this.#memory = decision.memory
    const attempts = new Attempts()
    await applySlots(client, decision.slots, attempts, log)
    this.#eventWriter.noteSlots(decision.slotEvents, world.nodes)
    const now = new Date(clock.now()).toISOString()
    const writes = { attempts, statusless: this.#statusless, now }
    const changes = await applyPolicyStatus(client, world, decision.statuses, writes)
    this.#eventWriter.notePolicies(changes, decision.statuses, world.nodes, clock.monotonicMs())
    this.#reconcileWhenDue()
    attempts.finish()
  }

  /** Runs the loop again when the next delayed warning is due. */
  #reconcileWhenDue(): void {
    const { clock } = this.#options
    this.#stopDue()
    const dueInMs = this.#eventWriter.dueInMs(clock.monotonicMs())
    if (dueInMs !== undefined) this.#stopDue = clock.after(dueInMs + 1, () => this.#loop.trigger())
  }

  async #reconcileLeases(seen: Seen): Promise<void> {
    const { client, clock, log } = this.#options
    const { memory, plans, behind } = decideLeases(this.#memory, seen, clock.monotonicMs())
    this.#memory = memory
    this.#plans = plans
    const attempts = new Attempts()
    const now = new Date(clock.now()).toISOString()
    const told = await applyLeases(client, plans, { world: seen.world, behind, attempts, now, log })
    tellExhaustion(this.#recorder, told)
    attempts.finish()
  }
}
