/**
 * A queue between a callback and a reader that takes one item at a time. If more than `maxWaiting` items wait, the oldest ones are
 * discarded.
 */
export class Arrivals<T> {
  readonly #waiting: T[] = []
  readonly #maxWaiting: number
  #wake: () => void = () => {}

  constructor(maxWaiting = Number.POSITIVE_INFINITY) {
    this.#maxWaiting = maxWaiting
  }

  push(...items: readonly T[]): void {
    this.#waiting.push(...items)
    if (this.#waiting.length > this.#maxWaiting)
      this.#waiting.splice(0, this.#waiting.length - this.#maxWaiting)
    this.#wake()
  }

  async *until(signal: AbortSignal): AsyncGenerator<T> {
    const wake = (): void => this.#wake()
    signal.addEventListener('abort', wake)
    try {
      while (!signal.aborted) {
        const next = this.#waiting.shift()
        if (next !== undefined) {
          yield next
          continue
        }
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#wake = resolve
        await promise
      }
    } finally {
      signal.removeEventListener('abort', wake)
    }
  }
}
