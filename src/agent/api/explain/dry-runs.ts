import type { Datapath } from '../../../datapath/datapath.ts'
import type { Desired } from '../../../datapath/desired.ts'
import { DryRun } from '../../../datapath/dry-run/dry-run.ts'
import type { Clock } from '../../../runtime/clock.ts'

/** The verifier needs a good part of a second for the program, and a person seldom asks only once. */
const keptMs = 30_000

/** Makes dry runs for an agent, one at a time. Loads the program at the first question, and closes it 30 s after the last one. */
export class DryRuns {
  readonly #datapath: Datapath
  readonly #clock: Pick<Clock, 'after'>
  #kept: DryRun | undefined
  #stopTimer: (() => void) | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(datapath: Datapath, clock: Pick<Clock, 'after'>) {
    this.#datapath = datapath
    this.#clock = clock
  }

  /** On the tables that are in force, or on `desired`. */
  use<T>(desired: Desired | undefined, work: (dry: DryRun) => Promise<T>): Promise<T> {
    const done = this.#last.then(() =>
      desired === undefined ? this.#onPresent(work) : this.#on(desired, work),
    )
    this.#last = done.catch(() => {})
    return done
  }

  async #on<T>(desired: Desired, work: (dry: DryRun) => Promise<T>): Promise<T> {
    using dry = await DryRun.open(this.#datapath, desired)
    return await work(dry)
  }

  async #onPresent<T>(work: (dry: DryRun) => Promise<T>): Promise<T> {
    this.#stopTimer?.()
    this.#kept ??= await DryRun.open(this.#datapath)
    try {
      this.#kept.reset()
      return await work(this.#kept)
    } finally {
      this.#stopTimer = this.#clock.after(keptMs, () => this.#close())
    }
  }

  /** Not while it is in use: the timer is stopped then. */
  #close(): void {
    this.#kept?.[Symbol.dispose]()
    this.#kept = undefined
  }
}
