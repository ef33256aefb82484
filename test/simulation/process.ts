import type { Clock } from '../../src/runtime/clock.ts'
import type { Logger } from '../../src/runtime/log.ts'
import { type Story, storyLog } from './story.ts'
import type { Stop, VirtualClock } from './virtual-clock.ts'
import { runAs, type TimerOwner } from './virtual-globals.ts'

/** What a killed process meets at its next step. Code that catches it can do no harm with it. */
export class Killed extends Error {}

/** Time as a machine has it: its monotonic clock began at its own start, and the time of day is set by people. */
export interface MachineTime {
  monotonicNs(): bigint
  epochMs(): number
}

/**
 * One run of an agent or an operator. Whatever it does to the outside goes through `touch`: once it is dead nothing of it has an
 * effect, and while it is frozen none of its timers is due. It can be told to die at its n-th touch from now, which is between any
 * two steps of anything.
 */
export class SimulatedProcess implements TimerOwner {
  readonly name: string
  readonly log: Logger
  readonly clock: Clock
  readonly #world: VirtualClock
  readonly #machine: MachineTime
  readonly #story: Story
  readonly #termination = new AbortController()
  /** Called once, at its death: what it leaves on disk is what the next one finds. */
  readonly #onDeath: () => void
  #state: 'running' | 'frozen' | 'dead' = 'running'
  #overdue: (() => void)[] = []
  #touchesLeft = Number.POSITIVE_INFINITY
  /** What it threw and did not catch. No fault is an excuse for that. */
  crash: Error | undefined

  constructor(
    name: string,
    held: { world: VirtualClock; machine: MachineTime; story: Story; onDeath: () => void },
  ) {
    this.name = name
    this.#world = held.world
    this.#machine = held.machine
    this.#story = held.story
    this.#onDeath = held.onDeath
    this.log = storyLog(held.story, name, () => this.isDead)
    this.clock = {
      now: () => held.machine.epochMs(),
      monotonicNs: () => this.#machine.monotonicNs(),
      monotonicMs: () => Number(this.#machine.monotonicNs() / 1_000_000n),
      sleep: (ms, signal) => this.#sleep(ms, signal),
      after: (ms, run) => this.after(ms, run),
      every: (ms, run) => this.#every(ms, run),
    }
  }

  get isDead(): boolean {
    return this.#state === 'dead'
  }

  get isFrozen(): boolean {
    return this.#state === 'frozen'
  }

  get isRunning(): boolean {
    return this.#state === 'running'
  }

  /** Runs until `main` ends, or this process is killed. What `main` throws is a crash. */
  run(main: (signal: AbortSignal) => Promise<void>): void {
    const ended = runAs(this, () => main(this.#termination.signal))
    ended.then(
      () => this.#end('has ended'),
      (error: unknown) => this.#fail(error),
    )
  }

  /** Runs something as this process would: an answer to a request, say. */
  enter<T>(what: () => T): T {
    return runAs(this, what)
  }

  /** SIGTERM. */
  terminate(): void {
    this.#story.tell(this.name, 'is told to stop')
    runAs(this, () => this.#termination.abort())
  }

  /** SIGKILL. */
  kill(): void {
    this.#end('is killed')
  }

  killAfter(touches: number): void {
    this.#touchesLeft = touches
  }

  freeze(): void {
    if (this.#state === 'running') this.#state = 'frozen'
  }

  thaw(): void {
    if (this.#state !== 'frozen') return
    this.#state = 'running'
    const overdue = this.#overdue
    this.#overdue = []
    for (const run of overdue) run()
  }

  #end(how: string): void {
    if (this.#state === 'dead') return
    this.#state = 'dead'
    this.#overdue = []
    this.#story.tell(this.name, how)
    this.#onDeath()
  }

  /** Before everything that others could notice. */
  touch(): void {
    if (this.#state === 'dead') throw new Killed(`${this.name} is dead`)
    if (--this.#touchesLeft >= 0) return
    this.#end('is killed in the middle of something')
    throw new Killed(`${this.name} is dead`)
  }

  /** Lets a message in when this process can take it: at once, when it is thawed, or never. */
  deliver(run: () => void): void {
    if (this.#state === 'running') this.#runNow(run)
    else if (this.#state === 'frozen') this.#overdue.push(() => this.deliver(run))
  }

  /** What a timer throws ends the process. */
  #runNow(run: () => void): void {
    try {
      runAs(this, run)
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (error instanceof Killed || this.isDead) return
    this.crash = error instanceof Error ? error : new Error(String(error))
    this.#end(`crashes: ${this.crash.stack ?? this.crash.message}`)
  }

  after(ms: number, run: () => void): Stop {
    if (this.#state === 'dead') return () => {}
    let isStopped = false
    const stop = this.#world.after(ms, () =>
      this.deliver(() => {
        if (!isStopped) run()
      }),
    )
    return () => {
      isStopped = true
      stop()
    }
  }

  #every(ms: number, run: () => void): Stop {
    let stop = (): void => {}
    const again = (): void => {
      stop = this.after(ms, () => {
        again()
        run()
      })
    }
    again()
    return () => stop()
  }

  async #sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        stop()
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      const stop = this.after(ms, wake)
      signal?.addEventListener('abort', wake)
    })
  }
}
