/**
 * How long to wait before try number `failures` + 1: doubling from `firstMs` to `maxMs`, half of it by chance,
 * so that a thousand nodes that failed together do not come back together. `random` is in [0, 1).
 */
export function backoffMs(failures: number, random: number, firstMs = 200, maxMs = 30_000): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures, 20))
  return full / 2 + (full / 2) * random
}
