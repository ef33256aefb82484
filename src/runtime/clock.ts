import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Time is an argument: code that needs the time gets a clock. Timers are part of it, so that a test or a simulation decides
 * when they fire.
 */
export interface Clock {
  /** Milliseconds since 1970, for people to read. It jumps when the clock is set, so no duration is measured with it. */
  now(): number
  /** Nanoseconds of CLOCK_MONOTONIC, which the datapath uses too. */
  monotonicNs(): bigint
  /** The same in milliseconds. All durations are measured with it. */
  monotonicMs(): number
  /** Resolves early, without an error, when the signal comes. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Runs a function once. Timers do not keep the process alive. Call the returned function to stop it. */
  after(ms: number, run: () => void): () => void
  /** Runs a function repeatedly, for the first time after `ms`. Call the returned function to stop it. */
  every(ms: number, run: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicNs: () => process.hrtime.bigint(),
  monotonicMs: () => Number(process.hrtime.bigint() / 1_000_000n),
  sleep: async (ms, signal) => {
    try {
      await sleep(ms, undefined, signal === undefined ? {} : { signal })
    } catch {
      /* woken early */
    }
  },
  after: (ms, run) => {
    const timer = setTimeout(run, ms).unref()
    return () => clearTimeout(timer)
  },
  every: (ms, run) => {
    const timer = setInterval(run, ms).unref()
    return () => clearInterval(timer)
  },
}

/** A signal that aborts after `ms` of this clock. Dispose of it when the work is done. */
export function abortAfter(clock: Clock, ms: number): { readonly signal: AbortSignal } & Disposable {
  const controller = new AbortController()
  const stop = clock.after(ms, () =>
    controller.abort(new DOMException(`not done within ${ms / 1000} s`, 'TimeoutError')),
  )
  return { signal: controller.signal, [Symbol.dispose]: stop }
}
