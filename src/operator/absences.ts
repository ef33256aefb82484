/** Since when something is missing, as a leader has seen it without a gap. */
export class Absences<K> {
  #term: number | undefined
  #sinceMs: ReadonlyMap<K, number> = new Map()

  /** What is missing now. In a new term all is counted anew: it may have come and gone while nobody here looked. */
  update(missing: readonly K[], term: number | undefined, nowMs: number): ReadonlyMap<K, number> {
    const before = term === this.#term ? this.#sinceMs : new Map<K, number>()
    this.#term = term
    this.#sinceMs = new Map(missing.map((key) => [key, before.get(key) ?? nowMs]))
    return this.#sinceMs
  }
}
