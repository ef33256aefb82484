import type { Kind } from '../api/kinds.ts'
import { isUnknownPath } from '../kube/kube-error.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'

/** How long a kind counts as one without status. Definitions seldom change, and a failing request for each policy would be wasted. */
const askAgainMs = 600_000

/** Kinds whose definition another product created without a status, so that no status can be written. */
export class StatuslessKinds {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #untilMs = new Map<Kind, number>()

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
  }

  /** Calls `write`, unless the kind is known to have no status. */
  async unlessStatusless(kind: Kind, write: () => Promise<void>): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs < (this.#untilMs.get(kind) ?? 0)) return
    try {
      await write()
    } catch (error) {
      if (!isUnknownPath(error)) throw error
      this.#untilMs.set(kind, nowMs + askAgainMs)
      this.#log.warn(
        { kind: kind.kind },
        'the CustomResourceDefinition of this kind has no status; only Events and "sallyport status" say what is wrong with its policies',
      )
    }
  }
}
