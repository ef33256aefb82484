/** The body of an answer as undici hands it out: read as it comes, or whole. */
export class ByteStream implements AsyncIterable<Buffer> {
  readonly #chunks: Buffer[] = []
  readonly #onDestroy: () => void
  #wake: () => void = () => {}
  #isOver = false
  #error: Error | undefined

  constructor(onDestroy: () => void = () => {}) {
    this.#onDestroy = onDestroy
  }

  push(chunk: Buffer): void {
    if (this.#isOver) return
    this.#chunks.push(chunk)
    this.#wake()
  }

  end(): void {
    this.#isOver = true
    this.#wake()
  }

  fail(error: Error): void {
    if (this.#isOver) return
    this.#error = error
    this.end()
  }

  /** The reader has had enough. */
  destroy(): void {
    this.#onDestroy()
  }

  async text(): Promise<string> {
    const chunks: Buffer[] = []
    for await (const chunk of this) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = this.#chunks.shift()
      if (chunk !== undefined) {
        yield chunk
        continue
      }
      if (this.#error !== undefined) throw this.#error
      if (this.#isOver) return
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      await promise
    }
  }
}
