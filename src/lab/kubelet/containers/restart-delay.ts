/** The lab's people do not wait as long as a real kubelet lets them: from 0.2 s on, twice as long each time, up to 20 s. */
const firstMs = 200
const mostMs = 20_000
/** Whatever ran for so long did not fail at its start. */
const forgivenAfterMs = 600_000

/** How long a container waits after its n-th end. The first restart is immediate. */
export function restartDelayMs(restarts: number, ranMs: number): number {
  if (restarts === 0 || ranMs >= forgivenAfterMs) return 0
  return Math.min(mostMs, firstMs * 2 ** Math.min(restarts - 1, 20))
}

/** As Go writes a duration: `400ms`, `1.6s`, `20s`. */
export function durationText(ms: number): string {
  return ms < 1000 ? `${ms}ms` : `${ms / 1000}s`
}
