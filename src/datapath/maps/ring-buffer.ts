import koffi from 'koffi'
import { Arrivals } from '../../linux/arrivals.ts'
import type { Codec } from '../layout/codec.ts'
import { libbpf } from '../libbpf.ts'
import type { RawMap } from './maps.ts'

/** How many records wait for a slow reader. Beyond this, the oldest are discarded. */
const maxWaiting = 4096

/**
 * Yields records of a ring buffer until the signal. A slow reader loses the oldest records, as in the ring itself when it is
 * full. Exact numbers are counted in a map.
 */
export async function* readRing<T>(map: RawMap, codec: Codec<T>, signal: AbortSignal): AsyncGenerator<T> {
  const records = new Arrivals<T>(maxWaiting)
  using ring = openRing(map, (record) => {
    records.push(codec.decode(record))
    return true
  })
  ring.poll(() => ring.consume())
  yield* records.until(signal)
}

/**
 * A ring whose records are handled one by one, on this thread. A record is taken out of the ring after it was handled. So if the
 * process is killed meanwhile, the next one gets that record again, and no other twice.
 */
export class RingReader<T> implements Disposable {
  readonly #ring: Ring
  #left = 0

  constructor(map: RawMap, codec: Codec<T>, handle: (record: T) => void) {
    this.#ring = openRing(map, (record) => {
      handle(codec.decode(record))
      return --this.#left > 0
    })
  }

  /** Handles at most so many of the records that are there. Returns how many. */
  consume(max: number): number {
    this.#left = max
    this.#ring.consume()
    return max - this.#left
  }

  /** Calls it whenever there are records, and again while some are left. */
  onReadable(run: () => void): void {
    this.#ring.poll(run)
  }

  [Symbol.dispose](): void {
    this.#ring[Symbol.dispose]()
  }
}

interface Ring extends Disposable {
  consume(): void
  poll(run: () => void): void
}

/**
 * The handler says whether to go on to the next record. No exception may leave the callback, because it would lose the other
 * records of the drain.
 */
function openRing(map: RawMap, handle: (record: Buffer) => boolean): Ring {
  const callback = koffi.register((_context: unknown, data: unknown, size: number): number => {
    try {
      return handle(Buffer.from(koffi.view(data, Number(size)).slice(0))) ? 0 : stop
    } catch {
      return 0 /* a record that cannot be decoded counts as lost */
    }
  }, 'ring_buffer_sample_fn *')
  const ring = libbpf().ringNew(map.fd, callback, null, null)
  if (ring === null) {
    koffi.unregister(callback)
    throw new Error(`cannot read the ring buffer ${map.name}: errno ${koffi.errno()}`)
  }
  let poll: ReturnType<typeof koffi.node.poll> | undefined
  return {
    consume: () => void libbpf().ringConsume(ring),
    poll: (run) => {
      poll = koffi.node.poll(libbpf().ringEpollFd(ring), { readable: true }, run)
    },
    [Symbol.dispose]() {
      poll?.stop()
      poll?.close()
      libbpf().ringFree(ring)
      koffi.unregister(callback)
    },
  }
}

/** libbpf then counts the record as taken, and leaves the others. */
const stop = -1
