import { pauseAfterMs } from './backoff.ts'
import type { Clock } from './clock.ts'
import type { Logger } from './log.ts'
import { type Random, systemRandom } from './random.ts'

interface LoopOptions {
  readonly name: string
  /** Brings the actual state to the desired one. Running twice changes nothing the second time. */
  readonly run: () => Promise<void>
  readonly clock: Clock
  readonly log: Logger
  readonly random?: Random
  /** Triggers within this time share one run. */
  readonly minIntervalMs?: number
  /** The minimum time between the starts of two runs if the second one was triggered in the background only. Default: 0. */
  readonly backgroundIntervalMs?: number
  /** The maximum pause after failures. Default: 30 s. */
  readonly maxPauseMs?: number
  /** Called after each run. */
  readonly onRun?: (name: string, seconds: number, hasFailed: boolean) => void
}

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * The one reconcile loop. An event only says "reconcile", and many events share one run. After a long run the loop pauses
 * for as long, so that the process can do other work. Only the loop catches the world's failures. It logs a message once
 * until the message changes, and retries later.
 */
export class Loop {
  readonly #options: LoopOptions
  #isPending = false
  #isPendingInBackground = false
  #beganMs = Number.NEGATIVE_INFINITY
  #wake: () => void = () => {}
  #waiters: Waiter[] = []
  #failures = 0
  #loggedMessage: string | undefined
  lastError: Error | undefined

  constructor(options: LoopOptions) {
    this.#options = options
  }

  trigger(): void {
    this.#isPending = true
    this.#wake()
  }

  /**
   * For a change that no pod and no node waits for. The run may be delayed up to `backgroundIntervalMs` after the previous
   * one.
   */
  triggerInBackground(): void {
    this.#isPendingInBackground = true
    this.#wake()
  }

  /** Resolves when a run that began after this call has succeeded. Rejects if that run failed. */
  settle(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiters.push({ resolve, reject })
    this.trigger()
    return promise
  }

  /** Runs until the signal, and then finishes the run in progress. */
  async start(signal: AbortSignal): Promise<void> {
    const { clock, random = systemRandom, minIntervalMs = 0, maxPauseMs = 30_000 } = this.#options
    const wake = (): void => this.#wake()
    signal.addEventListener('abort', wake)
    try {
      while (!signal.aborted) {
        await this.#untilDue(signal)
        if (signal.aborted) break
        this.#isPending = this.#isPendingInBackground = false
        this.#beganMs = clock.monotonicMs()
        const began = clock.monotonicNs()
        await this.#runOnce()
        const tookMs = Number(clock.monotonicNs() - began) / 1e6
        this.#options.onRun?.(this.#options.name, tookMs / 1e3, this.lastError !== undefined)
        const pause =
          this.lastError === undefined
            ? Math.max(minIntervalMs, tookMs)
            : pauseAfterMs(this.#failures - 1, random(), tookMs, maxPauseMs)
        if (pause > 0 && this.#waiters.length === 0) await clock.sleep(pause, signal)
      }
    } finally {
      signal.removeEventListener('abort', wake)
      for (const { reject } of this.#waiters) reject(new Error(`the loop ${this.#options.name} has ended`))
    }
  }

  async #untilDue(signal: AbortSignal): Promise<void> {
    const { clock, backgroundIntervalMs = 0 } = this.#options
    while (!this.#isPending && !signal.aborted) {
      const dueInMs = this.#beganMs + backgroundIntervalMs - clock.monotonicMs()
      if (this.#isPendingInBackground && dueInMs <= 0) return
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      const stop = this.#isPendingInBackground ? clock.after(dueInMs, resolve) : () => {}
      await promise
      stop()
    }
  }

  async #runOnce(): Promise<void> {
    const waiters = this.#waiters
    this.#waiters = []
    try {
      await this.#options.run()
      this.#succeed()
      for (const { resolve } of waiters) resolve()
    } catch (error) {
      this.#fail(error)
      for (const { reject } of waiters) reject(error)
    }
  }

  #succeed(): void {
    const { log, name } = this.#options
    if (this.lastError !== undefined) log.info({ loop: name }, 'reconciliation succeeds again')
    this.#failures = 0
    this.#loggedMessage = undefined
    this.lastError = undefined
  }

  #fail(error: unknown): void {
    const { log, name } = this.#options
    this.lastError = error instanceof Error ? error : new Error(String(error))
    this.#failures++
    this.#isPending = true
    if (this.#loggedMessage === this.lastError.message) return
    this.#loggedMessage = this.lastError.message
    log.error({ loop: name, err: this.lastError }, 'reconciliation failed; retrying')
  }
}
