import type { Codec } from '../layout/codec.ts'
import { lookup, put, type RawMap, readAll, remove } from './maps.ts'

/** A map in the kernel with decoded entries. Each read goes to the kernel, because programs write some of the maps. */
export class Table<K, V> {
  readonly raw: RawMap
  readonly key: Codec<K>
  readonly value: Codec<V>

  constructor(raw: RawMap, key: Codec<K>, value: Codec<V>) {
    if (key.size !== raw.keySize || value.size !== raw.valueSize)
      throw new Error(`map ${raw.name}: the sizes of its codecs do not match the map`)
    this.raw = raw
    this.key = key
    this.value = value
  }

  get(key: K): V | undefined {
    const value = lookup(this.raw, this.key.encode(key))
    return value && this.value.decode(value)
  }

  set(key: K, value: V): void {
    put(this.raw, this.key.encode(key), this.value.encode(value))
  }

  /** Returns false if there is no such entry. */
  delete(key: K): boolean {
    return remove(this.raw, this.key.encode(key))
  }

  /** Entries that are added or deleted meanwhile may be missing. */
  *entries(): Generator<readonly [K, V]> {
    for (const chunk of readAll(this.raw))
      for (const [key, value] of chunk) yield [this.key.decode(key), this.value.decode(value)]
  }

  /** Reads the whole map. */
  count(): number {
    let count = 0
    for (const chunk of readAll(this.raw)) count += chunk.length
    return count
  }
}
