import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'

export interface ComebackOptions {
  /** Which of this node's silences is over. */
  readonly lapse: () => number
  /** Resolves when every watch has been heard from the beginning, however long it takes. */
  readonly hearAnew: () => Promise<void>
  /** Resolves when the tables are written as decided after the call. */
  readonly settle: () => Promise<void>
  /** There are tables, if only those of an agent before. */
  readonly hasTables: () => boolean
  readonly onBegin: () => void
  /** The node answers probes again, and says which addresses are its own. */
  readonly speak: (lapse: number) => void
  readonly clock: Clock
  readonly log: Logger
}

/**
 * How long a node that was away waits for the API server. Where it does not answer, little can have changed meanwhile, and
 * a gateway with old tables is better than none.
 */
const patienceMs = 3_000
const retryMs = 1_000

/**
 * A node that was silent: started anew, stopped for a while, cut off. Nobody has waited for it meanwhile: ports were leased
 * that it does not know of, addresses went to others. It is quiet until it has heard all of that.
 */
export class Comeback {
  readonly #options: ComebackOptions
  #underWay: number | undefined

  constructor(options: ComebackOptions) {
    this.#options = options
  }

  get isUnderWay(): boolean {
    return this.#underWay !== undefined
  }

  async begin(): Promise<void> {
    const { lapse: lapseNow, hearAnew, hasTables, onBegin, clock, log } = this.#options
    const lapse = lapseNow()
    if (this.#underWay === lapse) return
    this.#underWay = lapse
    onBegin()
    const heard = hearAnew()
    const isHeard = await Promise.race([heard.then(() => true), clock.sleep(patienceMs).then(() => false)])
    if (!isHeard && hasTables()) {
      log.warn(
        { waitedMs: patienceMs },
        'the API server does not answer; the node continues with the tables that it has',
      )
      await this.#finish(lapse)
    }
    await heard
    await this.#finish(lapse)
  }

  async #finish(lapse: number): Promise<void> {
    await this.#settle()
    if (lapse !== this.#options.lapse()) return
    this.#underWay = undefined
    this.#options.speak(lapse)
  }

  /** Tables that cannot be written hold nothing to speak by. */
  async #settle(): Promise<void> {
    for (;;)
      try {
        return await this.#options.settle()
      } catch {
        await this.#options.clock.sleep(retryMs)
      }
  }
}
