import { deadConnectionMs, keepAliveMs } from '../../src/kube/keep-alive.ts'
import type { ApiExchange } from './api-exchange.ts'
import { ByteStream } from './byte-stream.ts'
import type { SimulatedProcess } from './process.ts'
import type { VirtualClock } from './virtual-clock.ts'

/**
 * The TCP connection of one watch. What the server sends comes in order and complete, or the connection ends: while the machine is
 * cut off, lines wait, and the server's kernel sends them again some time after the cut is over. A connection that something on the
 * way has forgotten stays silent, until keep-alive probes of the client's kernel notice it.
 */
export class WatchConnection {
  readonly machine: string
  readonly body: ByteStream
  exchange: ApiExchange | undefined
  readonly #process: SimulatedProcess
  readonly #clock: VirtualClock
  readonly #isCut: () => boolean
  readonly #onEnd: () => void
  /** Has been sent, and does not come through. */
  #waiting: (() => void)[] = []
  #lastArrivalUs = 0
  #heardUs: number
  #isForgotten = false
  #isOver = false

  constructor(held: {
    machine: string
    process: SimulatedProcess
    clock: VirtualClock
    isCut: () => boolean
    onEnd: () => void
  }) {
    this.machine = held.machine
    this.#process = held.process
    this.#clock = held.clock
    this.#isCut = held.isCut
    this.#onEnd = held.onEnd
    this.#heardUs = held.clock.nowUs
    this.body = new ByteStream(() => this.#close())
    this.#probeAfter(keepAliveMs)
  }

  /** Something of the server's, which arrives so much later. */
  carry(ms: number, run: () => void): void {
    this.#lastArrivalUs = Math.max(this.#lastArrivalUs + 1, this.#clock.nowUs + ms * 1000)
    this.#clock.after((this.#lastArrivalUs - this.#clock.nowUs) / 1000, () => {
      this.#waiting.push(run)
      if (this.#waiting.length === 1) this.#letIn()
    })
  }

  /** The cut is over, and the server's kernel tries again after so long. */
  resume(ms: number): void {
    this.#clock.after(ms, () => this.#letIn())
  }

  /** A device on the way has lost what it knew of this connection. Nobody tells its two ends. */
  forget(): void {
    this.#isForgotten = true
    this.exchange?.abandon()
  }

  /** A reset, or the client's own end. A machine that is cut off does not learn of a reset. */
  break(why: string): void {
    if (this.#isCut()) this.forget()
    else this.#end(why)
  }

  /** The client has had enough. */
  abort(): void {
    this.#end('aborted')
  }

  #letIn(): void {
    if (this.#isOver || this.#isForgotten || this.#isCut()) return
    this.#heardUs = this.#clock.nowUs
    for (const run of this.#waiting.splice(0)) this.#process.deliver(run)
  }

  #probeAfter(ms: number): void {
    this.#clock.after(ms, () => this.#probe())
  }

  /** What the client's kernel does when nothing has come for a while. */
  #probe(): void {
    if (this.#isOver) return
    const silentMs = (this.#clock.nowUs - this.#heardUs) / 1000
    if (this.#process.isDead) this.#close()
    else if (silentMs < keepAliveMs) this.#probeAfter(keepAliveMs - silentMs)
    else if (!this.#isCut() && this.#isForgotten) this.#end('read ECONNRESET')
    else if (!this.#isCut()) this.#hear()
    else if (silentMs < deadConnectionMs) this.#probeAfter(deadConnectionMs - silentMs)
    else this.#end('read ETIMEDOUT')
  }

  #hear(): void {
    this.#heardUs = this.#clock.nowUs
    this.#probeAfter(keepAliveMs)
  }

  #end(why: string): void {
    this.#close()
    this.#process.deliver(() => this.body.fail(new Error(why)))
  }

  #close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.exchange?.abandon()
    this.#onEnd()
  }
}
