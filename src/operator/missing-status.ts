import type { Kind } from '../api/kinds.ts'
import { isUnknownPath } from '../kube/kube-error.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'

/** Definitions change seldom; asking for each policy, each time something happens, would be a request a policy for ever. */
const askAgainMs = 600_000

/** Kinds whose definition is another product's and has no status: nothing can be said on their objects. */
export class StatuslessKinds {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #untilMs = new Map<Kind, number>()

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
  }

  /** Writes where the kind has a status, as far as is known. */
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
