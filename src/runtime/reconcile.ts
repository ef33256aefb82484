import { backoffMs } from './backoff.ts'
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
  /** Triggers that come closer together share one run. */
  readonly minIntervalMs?: number
  /** The shortest time between the starts of two runs where the second was triggered in the background only; default 0. */
  readonly backgroundIntervalMs?: number
  /** The longest rest after failures; default 30 s. */
  readonly maxPauseMs?: number
}

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * The one reconcile loop. An event says only "reconcile"; many of them are one run, and a run that takes long is
 * followed by as long a rest, for everything else that the process has to do. The loop alone catches the world's failures:
 * it logs a message once until it changes, and retries later.
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

  /** No pod and no node waits for this run: it may come as late as `backgroundIntervalMs` after the last one. */
  triggerInBackground(): void {
    this.#isPendingInBackground = true
    this.#wake()
  }

  /** Resolves when a run that began after this call has succeeded; rejects when it failed. */
  settle(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiters.push({ resolve, reject })
    this.trigger()
    return promise
  }

  /** Until the signal; the run in progress is finished. */
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
        const pause =
          this.lastError === undefined
            ? Math.max(minIntervalMs, tookMs)
            : backoffMs(this.#failures - 1, random(), undefined, maxPauseMs)
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
