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
  using _ring = openRing(map, (record) => records.push(codec.decode(record)))
  yield* records.until(signal)
}

/** No exception may leave the callback, because it would lose the other records of the drain. */
function openRing(map: RawMap, handle: (record: Buffer) => void): Disposable {
  const callback = koffi.register((_context: unknown, data: unknown, size: number): number => {
    try {
      handle(Buffer.from(koffi.view(data, Number(size)).slice(0)))
    } catch {
      /* a record that cannot be decoded counts as lost */
    }
    return 0
  }, 'ring_buffer_sample_fn *')
  const ring = libbpf().ringNew(map.fd, callback, null, null)
  if (ring === null) {
    koffi.unregister(callback)
    throw new Error(`cannot read the ring buffer ${map.name}: errno ${koffi.errno()}`)
  }
  const poll = koffi.node.poll(libbpf().ringEpollFd(ring), { readable: true }, () => {
    libbpf().ringConsume(ring)
  })
  return {
    [Symbol.dispose]() {
      poll.stop()
      poll.close()
      libbpf().ringFree(ring)
      koffi.unregister(callback)
    },
  }
}
