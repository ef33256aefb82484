/*
 * Time in a simulation: a list of things that are due, in order. It passes only from one of them to the next, so a minute
 * lasts as long as what happens in it takes to compute, and the same seed gives the same order.
 */

/** Stops what is scheduled; afterwards it never runs. */
export type Stop = () => void

interface Due {
  readonly atUs: number
  /** Things that are due at one moment run in the order in which they were scheduled. */
  readonly sequence: number
  run: (() => void) | undefined
}

/** The machine's own, before anybody puts a virtual one in its place. */
const realImmediate = setImmediate
/**
 * Runs everything that promises and `process.nextTick` have queued, as Node does between two callbacks of its event loop. A turn of
 * the loop itself would do the same, and costs more than most events of a simulation.
 */
const settlePromises = (process as unknown as { _tickCallback: () => void })._tickCallback
/** The event loop of the machine has a turn after so many events: what the process is told from outside is handled then. */
const eventsPerTurn = 1000

export class VirtualClock {
  readonly #heap: Due[] = []
  #sequence = 0
  #nowUs = 0
  /** Turns of the event loop that the code under test has asked for and not had yet. */
  #turns: (() => void)[] = []

  /** Microseconds since the simulation began. */
  get nowUs(): number {
    return this.#nowUs
  }

  get nowMs(): number {
    return this.#nowUs / 1000
  }

  get isEmpty(): boolean {
    return this.#heap.length === 0
  }

  after(ms: number, run: () => void): Stop {
    const due: Due = {
      atUs: this.#nowUs + Math.max(0, Math.round(ms * 1000)),
      sequence: this.#sequence++,
      run,
    }
    this.#push(due)
    return () => {
      due.run = undefined
    }
  }

  /** A turn of the event loop: time does not pass, and promises settle first. */
  nextTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.#turns.push(resolve)
    })
  }

  /**
   * Runs what is due until `endUs`, each with all promises that follow from it, and `onEvent` after each. Ends early with what `onEvent`
   * throws.
   */
  pass(endUs: number, onEvent: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      /* Promises cannot be settled from within one: each batch begins in a turn of the event loop. */
      const batch = (): void => {
        try {
          if (this.#runSome(endUs, onEvent)) realImmediate(batch)
          else resolve()
        } catch (error) {
          reject(error)
        }
      }
      realImmediate(batch)
    })
  }

  /** False once nothing is due any more. */
  #runSome(endUs: number, onEvent: () => void): boolean {
    for (let events = 0; events < eventsPerTurn; events++) {
      if (!this.#step(endUs)) return false
      onEvent()
    }
    return true
  }

  /** False where nothing is due. */
  #step(endUs: number): boolean {
    for (;;) {
      const [next] = this.#heap
      if (next === undefined || next.atUs > endUs) {
        this.#nowUs = Math.max(this.#nowUs, endUs)
        return false
      }
      this.#pop()
      if (next.run === undefined) continue
      this.#nowUs = next.atUs
      next.run()
      this.#settle()
      return true
    }
  }

  /** Until nothing moves any more: code that asked for a turn has had it. Nothing in a simulation waits for the machine itself. */
  #settle(): void {
    settlePromises()
    while (this.#turns.length > 0) {
      for (const resolve of this.#turns.splice(0)) resolve()
      settlePromises()
    }
  }

  #isBefore(a: Due, b: Due): boolean {
    return a.atUs < b.atUs || (a.atUs === b.atUs && a.sequence < b.sequence)
  }

  #push(due: Due): void {
    const heap = this.#heap
    let at = heap.push(due) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!this.#isBefore(due, heap[above] as Due)) break
      heap[at] = heap[above] as Due
      at = above
    }
    heap[at] = due
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Due
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let below = at * 2 + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && this.#isBefore(heap[below + 1] as Due, heap[below] as Due)) below++
      if (!this.#isBefore(heap[below] as Due, last)) break
      heap[at] = heap[below] as Due
      at = below
    }
    heap[at] = last
  }
}
