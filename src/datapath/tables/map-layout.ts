import type { Btf, MapLayout, TypeLayout } from '../layout/btf.ts'
import { type Codec, type FieldKind, single } from '../layout/codec.ts'

/** Codecs for the key and the value of a map. */
export interface TableCodec<K, V> {
  readonly key: Codec<K>
  readonly value: Codec<V>
}

/** The type that a codec decodes to. */
export type Decoded<F extends (...given: never[]) => Codec<unknown>> = ReturnType<ReturnType<F>['decode']>

/** The key of a map, if it is a single value instead of a struct with several fields. */
export const soleKey = <T>(btf: Btf, map: string, kind: FieldKind<T>): Codec<T> =>
  single(typeIn(layoutOf(btf, map), 'key'), kind)

/** The same for its value. */
export const soleValue = <T>(btf: Btf, map: string, kind: FieldKind<T>): Codec<T> =>
  single(typeIn(layoutOf(btf, map), 'value'), kind)

function layoutOf(btf: Btf, map: string): MapLayout {
  const layout = btf.maps.get(map)
  if (layout === undefined) throw new Error(`the object file has no map ${map}`)
  return layout
}

function typeIn(layout: MapLayout, part: 'key' | 'value'): TypeLayout {
  const type = layout[part]
  if (type === undefined) throw new Error(`map ${layout.name} has no type in BTF where its codec expects one`)
  return type
}
