import { setTimeout } from 'node:timers/promises'

/** Time is an argument: whoever needs it is handed one of these. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Nanoseconds of CLOCK_MONOTONIC, the clock that the datapath's times are of. */
  monotonicNs(): bigint
  /** Resolves early, without an error, when the signal comes. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicNs: () => process.hrtime.bigint(),
  sleep: async (ms, signal) => {
    try {
      await setTimeout(ms, undefined, signal === undefined ? {} : { signal })
    } catch {
      /* woken early */
    }
  },
}
