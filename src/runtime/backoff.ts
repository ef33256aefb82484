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
 * How long a client pauses after try number `failures` + 1, which took `tookMs`. The time of the try counts as a part of the pause: the
 * next try begins at most `maxMs` after this one began or at most 5 s after it ended, whichever is later. So a client soon asks a server
 * that is back after it had left requests unanswered. `random` is in [0, 1).
 */
export function pauseAfterMs(failures: number, random: number, tookMs: number, maxMs = 30_000): number {
  return backoffMs(
    failures,
    random,
    undefined,
    Math.max(maxMs - tookMs, Math.min(maxMs, maxPauseAfterWaitMs)),
  )
}
