/** Numbers that look random and follow from a seed alone (splitmix32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }

  /** A whole number from `first` to `last`. */
  within(first: number, last: number): number {
    return first + Math.floor(this.next() * (last - first + 1))
  }

  /** So often in a hundred. */
  percent(often: number): boolean {
    return this.next() * 100 < often
  }

  /** `items` must not be empty. */
  pick<T>(items: readonly T[]): T {
    const picked = items[Math.floor(this.next() * items.length)]
    if (picked === undefined) throw new Error('nothing to choose from')
    return picked
  }

  /** Another stream of numbers: what one part draws does not shift what another gets. */
  fork(name: string): Random {
    let seed = this.#state
    for (const letter of name) seed = (Math.imul(seed, 31) + letter.charCodeAt(0)) >>> 0
    return new Random(seed)
  }
}
