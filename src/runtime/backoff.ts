/**
 * How long to wait before try number `failures` + 1. The time doubles from `firstMs` to `maxMs`. Half of it is random, so
 * that a thousand nodes that failed together do not retry together. `random` is in [0, 1).
 */
export function backoffMs(failures: number, random: number, firstMs = 200, maxMs = 30_000): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures, 20))
  return full / 2 + (full / 2) * random
}
