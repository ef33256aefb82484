import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

interface RequestCount {
  count: number
  /** The size of the answers, watches included, before encryption. */
  bytes: number
}

/** Counts requests and bytes by user. A connection counts for its first user. */
export class RequestCounts {
  readonly #closed = new Map<string, RequestCount>()
  readonly #open = new Map<Socket, string>()

  note(user: string, { socket }: IncomingMessage): void {
    this.#of(this.#closed, user).count++
    if (this.#open.has(socket)) return
    this.#open.set(socket, user)
    socket.once('close', () => {
      this.#open.delete(socket)
      this.#of(this.#closed, user).bytes += socket.bytesWritten
    })
  }

  byUser(): Readonly<Record<string, RequestCount>> {
    const counts = new Map([...this.#closed].map(([user, count]) => [user, { ...count }]))
    for (const [socket, user] of this.#open) this.#of(counts, user).bytes += socket.bytesWritten
    return Object.fromEntries(counts)
  }

  #of(counts: Map<string, RequestCount>, user: string): RequestCount {
    const count = counts.get(user) ?? { count: 0, bytes: 0 }
    counts.set(user, count)
    return count
  }
}
