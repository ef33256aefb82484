/**
 * How long to wait before try number `failures` + 1. The time doubles from `firstMs` to `maxMs`. Half of it is random, so
 * that a thousand nodes that failed together do not retry together. `random` is in [0, 1).
 */
export function backoffMs(failures: number, random: number, firstMs = 200, maxMs = 30_000): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures, 20))
  return full / 2 + (full / 2) * random
}

/** After a try that waited in vain, the next one begins within this time. It keeps nodes out of step. */
const maxPauseAfterWaitMs = 5_000

/**
 * How long to pause after try number `failures` + 1, which took `tookMs`. A try that waited for an answer was a pause already: from
 * its begin to the next one's no more than `maxMs` pass, or a little more if it alone took as long. So a server that is back after
 * it left requests unanswered is asked soon. `random` is in [0, 1).
 */
export function pauseAfterMs(failures: number, random: number, tookMs: number, maxMs = 30_000): number {
  return backoffMs(
    failures,
    random,
    undefined,
    Math.max(maxMs - tookMs, Math.min(maxMs, maxPauseAfterWaitMs)),
  )
}
