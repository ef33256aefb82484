import { setTimeout } from 'node:timers/promises'

/** Time is an argument: whoever needs it is handed one of these. */
export interface Clock {
  /** Milliseconds since 1970, for people to read. It steps when somebody sets it: nothing is measured by it. */
  now(): number
  /** Nanoseconds of CLOCK_MONOTONIC, the clock that the datapath's times are of. */
  monotonicNs(): bigint
  /** The same in milliseconds: whatever lasts is measured by it. */
  monotonicMs(): number
  /** Resolves early, without an error, when the signal comes. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicNs: () => process.hrtime.bigint(),
  monotonicMs: () => Number(process.hrtime.bigint() / 1_000_000n),
  sleep: async (ms, signal) => {
    try {
      await setTimeout(ms, undefined, signal === undefined ? {} : { signal })
    } catch {
      /* woken early */
    }
  },
}
