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
    const counts = (program: Program): Counts => this.#datapath.counts(program)
    const handed = (['from_pod', 'from_overlay', 'from_world', 'to_world'] as const).reduce(
      (sum, program) => sum + packetsOf(counts(program), 'SENT_THROUGH_STACK'),
      0n,
    )
    /* Read after the others: watchStack says why. */
    const leaving = counts('to_world')
    const left = packetsOf(leaving, 'PASS_FROM_STACK')
    const changed = packetsOf(leaving, 'DROP_ADDRESS_CHANGED')
    this.#watch = watchStack(this.#watch, { handed, left, changed }, nowMs)
    return this.#watch.loss
  }
}

type Program = Parameters<Datapath['counts']>[0]
type Counts = ReturnType<Datapath['counts']>

const packetsOf = (counts: Counts, verdict: string): bigint =>
  counts.find((each) => each.verdict === verdict)?.packets ?? 0n
