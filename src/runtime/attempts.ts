/** Tries several things. A failure of one does not keep the others from being tried. */
export class Attempts {
  readonly #errors: Error[] = []

  async make(what: () => Promise<void>): Promise<void> {
    try {
      await what()
    } catch (error) {
      this.#errors.push(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** Throws if one of them failed. */
  finish(): void {
    const [first, ...more] = this.#errors
    if (first === undefined) return
    if (more.length === 0) throw first
    throw new AggregateError(this.#errors, `${first.message}; and ${more.length} more`)
  }
}
