import { KernelError } from '../../linux/libc.ts'
import { libbpf, noBatchOptions } from '../libbpf.ts'

/** A map in the kernel as bytes. The keys of a Map here are the key's bytes as latin1, so equal bytes are equal strings. */
export interface RawMap {
  readonly name: string
  readonly fd: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
}

export type RawEntries = Map<string, Buffer>

/** Changes to a map: puts first, then deletes, so that no entry is missing in between. */
export interface RawChanges {
  readonly puts: readonly (readonly [key: Buffer, value: Buffer])[]
  readonly deletes: readonly Buffer[]
}

/* A call with 4096 small entries blocks the event loop for 2 ms. For large values, fewer entries go into a call. */
const maxPerCall = 4096
const maxBytesPerCall = 1 << 22
/* Most maps hold little: buffers for all that could be there cost more than further calls, each of which may read four times as much. */
const firstBytes = 1 << 14
const growth = 4

function chunkSize(map: RawMap, maxBytes = maxBytesPerCall): number {
  const fitting = Math.floor(maxBytes / (map.keySize + map.valueSize))
  return Math.max(1, Math.min(maxPerCall, fitting))
}

export function keyString(key: Buffer): string {
  return key.toString('latin1')
}

function keyBuffer(key: string): Buffer {
  return Buffer.from(key, 'latin1')
}

/** The smallest set of changes from the actual to the desired entries. */
export function diff(actual: ReadonlyMap<string, Buffer>, desired: ReadonlyMap<string, Buffer>): RawChanges {
  const puts: [Buffer, Buffer][] = []
  const deletes: Buffer[] = []
  for (const [key, value] of desired) {
    const present = actual.get(key)
    if (present !== value && (present === undefined || !present.equals(value)))
      puts.push([keyBuffer(key), value])
  }
  for (const key of actual.keys()) if (!desired.has(key)) deletes.push(keyBuffer(key))
  return { puts, deletes }
}

function fail(map: RawMap, attempted: string, errno: number): never {
  const full = errno === 28 || errno === 7
  throw new KernelError(
    full ? `map ${map.name} is full (${map.maxEntries} entries)` : `${attempted} map ${map.name}`,
    errno,
  )
}

const errnos = { enoent: 2, eexist: 17, einval: 22, enospc: 28, enotsupp: 524, eopnotsupp: 95 } as const

function hasNoBatch(errno: number): boolean {
  return errno === errnos.einval || errno === errnos.enotsupp || errno === errnos.eopnotsupp
}

export function lookup(map: RawMap, key: Buffer): Buffer | undefined {
  const value = Buffer.alloc(map.valueSize)
  const result = libbpf().lookup(map.fd, key, value)
  if (result === -errnos.enoent) return undefined
  if (result < 0) fail(map, 'read', -result)
  return value
}

export function put(map: RawMap, key: Buffer, value: Buffer): void {
  const result = libbpf().update(map.fd, key, value, 0)
  if (result < 0) fail(map, 'write', -result)
}

/** Returns false if the entry exists already. */
export function putNew(map: RawMap, key: Buffer, value: Buffer): boolean {
  const noExist = 1
  const result = libbpf().update(map.fd, key, value, noExist)
  if (result === -errnos.eexist) return false
  if (result < 0) fail(map, 'write', -result)
  return true
}

/** Returns false if there is no such entry. */
export function remove(map: RawMap, key: Buffer): boolean {
  const result = libbpf().remove(map.fd, key)
  if (result === -errnos.enoent) return false
  if (result < 0) fail(map, 'delete from', -result)
  return true
}

/**
 * Applies puts or deletes, one chunk per step. The caller may run the event loop between steps. Throws if the map is full.
 * What earlier chunks wrote stays.
 */
export function* putAll(map: RawMap, puts: RawChanges['puts']): Generator<void> {
  const step = chunkSize(map)
  for (let from = 0; from < puts.length; from += step) {
    putChunk(map, puts.slice(from, from + step))
    yield
  }
}

function putChunk(map: RawMap, puts: RawChanges['puts']): void {
  const keys = Buffer.concat(puts.map(([key]) => key))
  const values = Buffer.concat(puts.map(([, value]) => value))
  const result = libbpf().updateBatch(map.fd, keys, values, [puts.length], noBatchOptions)
  if (result >= 0) return
  if (!hasNoBatch(-result)) fail(map, 'write', -result)
  for (const [key, value] of puts) put(map, key, value)
}

export function* removeAll(map: RawMap, deletes: readonly Buffer[]): Generator<void> {
  const step = chunkSize(map)
  for (let from = 0; from < deletes.length; from += step) {
    const chunk = deletes.slice(from, from + step)
    const result = libbpf().deleteBatch(map.fd, Buffer.concat(chunk), [chunk.length], noBatchOptions)
    /* A batch stops at an entry that is already gone. So the rest is deleted one by one. */
    if (result === -errnos.enoent || (result < 0 && hasNoBatch(-result)))
      for (const key of chunk) remove(map, key)
    else if (result < 0) fail(map, 'delete from', -result)
    yield
  }
}

/** Reads the whole map, one chunk per step. Entries that are added or deleted meanwhile may be missing. */
export function* readAll(map: RawMap): Generator<readonly (readonly [key: Buffer, value: Buffer])[]> {
  const largest = Math.min(chunkSize(map), Math.max(map.maxEntries, 64))
  let size = Math.min(largest, chunkSize(map, firstBytes))
  let from: Buffer | null = null
  for (;;) {
    const keys = Buffer.alloc(size * map.keySize)
    const values = Buffer.alloc(size * map.valueSize)
    const next = Buffer.alloc(Math.max(map.keySize, 8))
    const count = [size]
    const result = libbpf().lookupBatch(map.fd, from, next, keys, values, count, noBatchOptions)
    if (result === -errnos.enospc) {
      size *= 2 /* one bucket of the hash holds more than a chunk */
      continue
    }
    if (from === null && result < 0 && hasNoBatch(-result)) {
      yield* walk(map)
      return
    }
    const isLast = result === -errnos.enoent
    if (result < 0 && !isLast) fail(map, 'read', -result)
    const entries: [Buffer, Buffer][] = []
    for (let index = 0; index < (count[0] ?? 0); index++)
      entries.push([
        keys.subarray(index * map.keySize, (index + 1) * map.keySize),
        values.subarray(index * map.valueSize, (index + 1) * map.valueSize),
      ])
    if (entries.length > 0) yield entries
    if (isLast) return
    from = next
    size = Math.max(size, Math.min(largest, size * growth))
  }
}

/** For maps without batch calls in older kernels, for example an LPM trie before 5.14. */
function* walk(map: RawMap): Generator<readonly (readonly [key: Buffer, value: Buffer])[]> {
  let key: Buffer | null = null
  for (;;) {
    const next: Buffer = Buffer.alloc(map.keySize)
    const result = libbpf().nextKey(map.fd, key, next)
    if (result === -errnos.enoent) return
    if (result < 0) fail(map, 'walk', -result)
    const value = lookup(map, next)
    if (value !== undefined) yield [[next, value]]
    key = next
  }
}

export function readEntries(map: RawMap): RawEntries {
  const entries: RawEntries = new Map()
  for (const chunk of readAll(map)) for (const [key, value] of chunk) entries.set(keyString(key), value)
  return entries
}

/** One value per CPU, each padded to eight bytes. */
export function lookupPerCpu(map: RawMap, key: Buffer): Buffer[] {
  const stride = (map.valueSize + 7) & ~7
  const cpus = libbpf().possibleCpus()
  const values = Buffer.alloc(stride * cpus)
  const result = libbpf().lookup(map.fd, key, values)
  if (result < 0) fail(map, 'read', -result)
  return Array.from({ length: cpus }, (_, cpu) => values.subarray(cpu * stride, cpu * stride + map.valueSize))
}
