/** Things of which each is to be done, whatever becomes of the others. */
export class Attempts {
  readonly #errors: Error[] = []

  async make(what: () => Promise<void>): Promise<void> {
    try {
      await what()
    } catch (error) {
      this.#errors.push(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** Throws where one has failed. */
  finish(): void {
    const [first, ...more] = this.#errors
    if (first === undefined) return
    if (more.length === 0) throw first
    throw new AggregateError(this.#errors, `${first.message}; and ${more.length} more`)
  }
}
