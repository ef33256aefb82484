/**
 * How many records a node writes. It counts over a minute, because the sweep ends many flows at once.
 */
const averagedOverS = 60

export class RecordLimit {
  readonly #perSecond: number
  #left: number
  #filledAtMs: number

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond
    this.#left = perSecond * averagedOverS
    this.#filledAtMs = nowMs
  }

  /** Whether one more may be written now. */
  take(nowMs: number): boolean {
    const more = ((nowMs - this.#filledAtMs) / 1000) * this.#perSecond
    this.#left = Math.min(this.#left + more, this.#perSecond * averagedOverS)
    this.#filledAtMs = nowMs
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}

/** Whether the sample of one in `oneIn` flows contains this flow. An agent decides the same after a restart. */
export function isSampled(createdNs: bigint, oneIn: number): boolean {
  return oneIn <= 1 || createdNs % BigInt(oneIn) === 0n
}
