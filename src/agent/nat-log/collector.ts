import { createSocket, type Socket } from 'node:dgram'
import { fnv1a32 } from '../../decide/ids.ts'
import type { Clock } from '../../runtime/clock.ts'
import { IpfixMessages, type NatEvent } from './ipfix.ts'

interface CollectorOptions {
  readonly node: string
  readonly address: string
  readonly port: number
  readonly clock: Clock
  /** Records that could not be sent. That the collector has received the others, UDP does not say. */
  readonly onLoss: (records: number, error: Error) => void
}

const sendAfterMs = 1_000
const templatesEveryMs = 60_000

/** Sends records to a collector, many in a datagram. */
export class Collector implements Disposable {
  readonly #options: CollectorOptions
  readonly #messages: IpfixMessages
  readonly #socket: Socket
  #waiting = 0
  #isConnected = false
  #stopTimer: (() => void) | undefined
  readonly #stopTemplates: () => void

  constructor(options: CollectorOptions) {
    this.#options = options
    /* The observation domain says which node it was, also behind a NAT. It must not be 0. */
    this.#messages = new IpfixMessages(fnv1a32(options.node) || 1)
    this.#socket = createSocket(options.address.includes(':') ? 'udp6' : 'udp4').unref()
    this.#socket.on('error', (error) => options.onLoss(0, error))
    this.#socket.once('connect', () => {
      this.#isConnected = true
    })
    this.#socket.connect(options.port, options.address)
    this.#stopTemplates = options.clock.every(templatesEveryMs, () => this.#messages.repeatTemplates())
  }

  add(event: NatEvent): void {
    const { clock } = this.#options
    const full = this.#messages.add(event, new Date(clock.now()))
    if (full !== undefined) this.#send(full)
    this.#waiting++
    this.#stopTimer ??= clock.after(sendAfterMs, () => this.flush())
  }

  flush(): void {
    this.#stopTimer?.()
    this.#stopTimer = undefined
    if (!this.#messages.isEmpty) this.#send(this.#messages.take(new Date(this.#options.clock.now())))
  }

  /** A connected socket sends at once, so that no record waits when the process ends. It also gets the error if no collector listens. */
  #send(message: Buffer): void {
    const records = this.#waiting
    this.#waiting = 0
    const send = (): void =>
      this.#socket.send(message, (error) => {
        if (error !== null) this.#options.onLoss(records, error)
      })
    if (this.#isConnected) send()
    else this.#socket.once('connect', send)
  }

  [Symbol.dispose](): void {
    this.#stopTimer?.()
    this.#stopTemplates()
    this.#socket.close()
  }
}
