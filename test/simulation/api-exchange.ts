import type { IncomingMessage, ServerResponse } from 'node:http'

/** A request as the API server reads it, and its answer, without a network between them. */
export interface ApiRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

/** What a server may still write to a client that reads slowly; nothing is kept of it here. */
const writtenAtOnce = 0

/** One for all requests: the server counts what each of its sockets carries. */
const socket = { bytesWritten: 0, once: () => {} }

/** As much of node:http's two sides as the embedded API server uses. */
export class ApiExchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly #onHead: (code: number, headers: Record<string, string>) => void
  readonly #onText: (text: string) => void
  readonly #onEnd: (isWhole: boolean) => void
  readonly #closed: (() => void)[] = []
  #hasHead = false
  #isOver = false

  constructor(
    { method, path, headers, body }: ApiRequest,
    on: {
      head: (code: number, headers: Record<string, string>) => void
      text: (text: string) => void
      end: (isWhole: boolean) => void
    },
  ) {
    this.#onHead = on.head
    this.#onText = on.text
    this.#onEnd = on.end
    this.request = {
      socket,
      method,
      url: path,
      headers,
      headersDistinct: {},
      complete: true,
      async *[Symbol.asyncIterator]() {
        if (body !== undefined) yield Buffer.from(body)
      },
    } as unknown as IncomingMessage
    this.response = this.#answer()
  }

  #answer(): ServerResponse {
    const headers: Record<string, string> = {}
    const note = (name: string, value: string): void => {
      headers[name.toLowerCase()] = String(value)
    }
    const head = (code: number, more: Record<string, string> = {}): ServerResponse => {
      for (const [name, value] of Object.entries(more)) note(name, value)
      this.#hasHead = true
      this.#onHead(code, headers)
      return response
    }
    const response = {
      writableLength: writtenAtOnce,
      setHeader: note,
      appendHeader: note,
      flushHeaders: () => {},
      writeHead: head,
      write: (text: string) => this.#isOver || this.#onText(text),
      end: (text?: string) => {
        if (text !== undefined) this.#onText(text)
        this.#close(true)
      },
      destroy: () => this.#close(false),
      once: (_close: string, run: () => void) => this.#closed.push(run),
    } as unknown as ServerResponse
    Object.defineProperty(response, 'headersSent', { get: () => this.#hasHead })
    return response
  }

  /** The client is gone. */
  abandon(): void {
    this.#close(false)
  }

  #close(isWhole: boolean): void {
    if (this.#isOver) return
    this.#isOver = true
    for (const run of this.#closed) run()
    this.#onEnd(isWhole)
  }
}
