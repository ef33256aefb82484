import type { Datapath } from '../../datapath/datapath.ts'
import { type StackWatch, startOfWatch, watchStack } from '../../decide/status/stack-losses.ts'
import type { Clock } from '../../runtime/clock.ts'

/** Reading the counters costs a millisecond. */
const intervalMs = 10_000

/** Watches what becomes of packets that the programs give to the stack. */
export class HandedPackets {
  readonly #datapath: Pick<Datapath, 'counts'>
  readonly #clock: Pick<Clock, 'monotonicMs'>
  #watch: StackWatch = startOfWatch
  #readMs = Number.NEGATIVE_INFINITY

  constructor({
    datapath,
    clock,
  }: { readonly datapath: Pick<Datapath, 'counts'>; readonly clock: Pick<Clock, 'monotonicMs'> }) {
    this.#datapath = datapath
    this.#clock = clock
  }

  /** Why packets do not leave the stack, as far as this is known now. */
  look(): StackWatch['loss'] {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#readMs < intervalMs) return this.#watch.loss
    this.#readMs = nowMs
    const handed = (['from_pod', 'from_overlay', 'from_world', 'to_world'] as const).reduce(
      (sum, program) => sum + this.#count(program, 'SENT_THROUGH_STACK'),
      0n,
    )
    const [left, changed] = (['PASS_FROM_STACK', 'DROP_ADDRESS_CHANGED'] as const).map((verdict) =>
      this.#count('to_world', verdict),
    ) as [bigint, bigint]
    this.#watch = watchStack(this.#watch, { handed, left, changed }, nowMs)
    return this.#watch.loss
  }

  #count(program: Parameters<Datapath['counts']>[0], verdict: string): bigint {
    return this.#datapath.counts(program).find((each) => each.verdict === verdict)?.packets ?? 0n
  }
}
