import type { Datapath } from '../../datapath/datapath.ts'
import { readInTurns } from '../../datapath/maps/turn.ts'
import { type Address, addressBytes } from '../../net/address.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import type { Outage } from './outages.ts'

/** Times are of CLOCK_MONOTONIC. */
export interface FailoverMoment {
  /**
   * `announced`: this node, which now holds the egress IP, has announced it on the link. `flowsBack`: the first packet of a flow of this
   * node's pods has come back to the egress IP through its new gateway.
   */
  readonly kind: 'announced' | 'flowsBack'
  readonly egressIp: Address
  readonly atNs: bigint
  /** `flowsBack`: since the last answer of the gateway that failed. */
  readonly afterMs?: number
}

interface MomentsOptions {
  readonly tables: Pick<Datapath['tables'], 'mappings'>
  readonly clock: Clock
  readonly log: Logger
}

interface Awaited {
  /** The last answer of the gateway that failed. */
  readonly sinceNs: bigint
  /** When this node began to send to another gateway. */
  readonly movedNs: bigint
}

const kept = 64
const maxWaitNs = 15_000_000_000n
/** The first pauses between two looks at the table of flows. Each is longer than the one before, and nine times as long as the look. */
const [firstPauseMs, maxPauseMs] = [30, 2_000]
/** Entries before the process gets a turn: about 1 ms. */
const perTurn = 2048

/** What a failover looked like from this node, for people. Nothing depends on it. */
export class FailoverMoments implements Disposable {
  readonly #options: MomentsOptions
  readonly #awaited = new Map<Address, Awaited>()
  #moments: readonly FailoverMoment[] = []
  #isLooking = false
  #isStopped = false

  constructor(options: MomentsOptions) {
    this.#options = options
  }

  /** The last 64, the oldest first. */
  get list(): readonly FailoverMoment[] {
    return this.#moments
  }

  announced(egressIp: Address): void {
    this.#note({ kind: 'announced', egressIp, atNs: this.#options.clock.monotonicNs() })
  }

  /** This node sends the packets of the egress IP to another gateway now. */
  moved({ egressIp, ms }: Outage): void {
    const movedNs = this.#options.clock.monotonicNs()
    this.#awaited.set(egressIp, { sinceNs: movedNs - BigInt(Math.round(ms * 1e6)), movedNs })
    if (this.#isLooking || this.#isStopped) return
    this.#isLooking = true
    void this.#look()
      .catch((error: unknown) => this.#options.log.warn({ err: error }, 'reading the table of flows failed'))
      .finally(() => {
        this.#isLooking = false
      })
  }

  async #look(): Promise<void> {
    const { clock } = this.#options
    for (let pauseMs = firstPauseMs; this.#awaited.size > 0; pauseMs = Math.min(pauseMs * 1.5, maxPauseMs)) {
      await clock.sleep(pauseMs)
      if (this.#isStopped) return
      const startMs = clock.monotonicMs()
      for (const [egressIp, atNs] of await this.#firstInward()) {
        const { sinceNs = atNs } = this.#awaited.get(egressIp) ?? {}
        this.#awaited.delete(egressIp)
        this.#note({ kind: 'flowsBack', egressIp, atNs, afterMs: Number(atNs - sinceNs) / 1e6 })
      }
      const tooLateNs = clock.monotonicNs() - maxWaitNs
      for (const [egressIp, { movedNs }] of this.#awaited)
        if (movedNs < tooLateNs) this.#awaited.delete(egressIp)
      pauseMs = Math.max(pauseMs, 9 * (clock.monotonicMs() - startMs))
    }
  }

  /** A mapping has the time of its last packet, so of several flows the one that was silent since then tells the first. */
  async #firstInward(): Promise<ReadonlyMap<Address, bigint>> {
    const { raw, value } = this.#options.tables.mappings
    const wanted = [...this.#awaited].map(
      ([egressIp, { movedNs }]) => [egressIp, Buffer.from(addressBytes(egressIp)), movedNs] as const,
    )
    const found = new Map<Address, bigint>()
    for await (const entries of readInTurns(raw, perTurn)) {
      if (this.#isStopped) return new Map()
      for (const [, bytes] of entries)
        for (const [egressIp, pattern, movedNs] of wanted) {
          if (!bytes.includes(pattern)) continue
          const { egress_ip, last_inward_ns: atNs } = value.decode(bytes)
          if (egress_ip !== egressIp || atNs <= movedNs) continue
          if (atNs < (found.get(egressIp) ?? atNs + 1n)) found.set(egressIp, atNs)
        }
    }
    return found
  }

  [Symbol.dispose](): void {
    this.#isStopped = true
  }

  #note(moment: FailoverMoment): void {
    this.#moments = [...this.#moments, moment].slice(-kept)
  }
}
