import { type Address, addressBytes, addressFromBytes } from '../../net/address.ts'
import { macBytes, macText } from '../../net/mac.ts'
import type { StructLayout, TypeLayout } from './btf.ts'

/** Converts between the bytes of a C struct and a readable value. Offsets and sizes come from BTF alone. */
export interface Codec<T> {
  readonly size: number
  encode(value: T): Buffer
  encodeInto(buffer: Buffer, at: number, value: T): void
  decode(buffer: Buffer, at?: number): T
}

interface Field<T> {
  read(buffer: Buffer, at: number): T
  write(buffer: Buffer, at: number, value: T): void
}

/** How a field is read and written. Undefined if the layout does not fit. */
export type FieldKind<T> = (type: TypeLayout) => Field<T> | undefined

type Shape = Readonly<Record<string, FieldKind<unknown>>>
type ValueOf<S extends Shape> = { -readonly [K in keyof S]: S[K] extends FieldKind<infer T> ? T : never }

/**
 * Throws if the shape names a field that the struct lacks, lacks a field that the struct has, or expects another size.
 * `reserved` fields and the kernel's spin lock are left out of shapes. Their bytes are zero.
 */
export function codec<S extends Shape>(
  layout: StructLayout,
  shape: S,
  nameOf: (member: string) => string = (member) => member,
): Codec<ValueOf<S>> {
  const fields: { name: keyof S & string; offset: number; field: Field<unknown> }[] = []
  for (const { name: member, offset, type } of layout.members) {
    const name = nameOf(member)
    const kind = Object.hasOwn(shape, name) ? shape[name] : undefined
    if (kind !== undefined) {
      const field = kind(type)
      if (field === undefined)
        throw new Error(`struct ${layout.name}: field ${member} (${describe(type)}) does not match its codec`)
      fields.push({ name, offset, field })
    } else if (!member.startsWith('reserved') && !isSpinLock(type)) {
      throw new Error(`struct ${layout.name} has a field ${member} that its codec lacks`)
    }
  }
  for (const name of Object.keys(shape))
    if (!layout.members.some((member) => nameOf(member.name) === name))
      throw new Error(`struct ${layout.name} has no field ${name}, but its codec has one`)
  return structCodec(layout.size, fields)
}

/** As `codec`, with TypeScript's names: `policySet` is `policy_set` in C. `called` has names that differ in other ways. */
export const record = <S extends Shape>(
  layout: StructLayout,
  shape: S,
  called: Readonly<Record<string, keyof S & string>> = {},
): Codec<Readonly<ValueOf<S>>> => codec(layout, shape, (member) => called[member] ?? camelCase(member))

const camelCase = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())

function structCodec<T>(
  size: number,
  fields: readonly { name: string; offset: number; field: Field<unknown> }[],
): Codec<T> {
  const encodeInto = (buffer: Buffer, at: number, value: T): void => {
    buffer.fill(0, at, at + size)
    const record = value as Readonly<Record<string, unknown>>
    for (const { name, offset, field } of fields) field.write(buffer, at + offset, record[name])
  }
  return {
    size,
    encodeInto,
    encode(value) {
      const buffer = Buffer.allocUnsafe(size)
      encodeInto(buffer, 0, value)
      return buffer
    },
    decode(buffer, at = 0) {
      const record: Record<string, unknown> = {}
      for (const { name, offset, field } of fields) record[name] = field.read(buffer, at + offset)
      return record as T
    },
  }
}

/** A map's key or value that is a single address or number instead of a struct with several fields. */
export function single<T>(type: TypeLayout, kind: FieldKind<T>): Codec<T> {
  const field = kind(type)
  if (field === undefined) throw new Error(`${describe(type)} does not match its codec`)
  return {
    size: type.size,
    encodeInto: (buffer, at, value) => field.write(buffer, at, value),
    encode(value) {
      const buffer = Buffer.alloc(type.size)
      field.write(buffer, 0, value)
      return buffer
    },
    decode: (buffer, at = 0) => field.read(buffer, at),
  }
}

/** A codec for another view of the same bytes, for example a list instead of a count and a fixed array. */
export function seenAs<T, U>(
  inner: Codec<T>,
  toInner: (value: U) => T,
  fromInner: (value: T) => U,
): Codec<U> {
  return {
    size: inner.size,
    encodeInto: (buffer, at, value) => inner.encodeInto(buffer, at, toInner(value)),
    encode: (value) => inner.encode(toInner(value)),
    decode: (buffer, at) => fromInner(inner.decode(buffer, at)),
  }
}

function describe(type: TypeLayout): string {
  if (type.kind === 'array') return `${describe(type.element)}[${type.length}]`
  if (type.kind === 'struct') return `struct ${type.name}`
  return type.kind === 'pointer' ? 'pointer' : type.name
}

function isSpinLock(type: TypeLayout): boolean {
  return type.kind === 'struct' && type.name === 'bpf_spin_lock'
}

function isNumber(type: TypeLayout, size: number): boolean {
  return (type.kind === 'int' || type.kind === 'enum') && type.size === size
}

function number<T>(size: number, field: Field<T>): FieldKind<T> {
  return (type) => (isNumber(type, size) ? field : undefined)
}

export const u8 = number<number>(1, {
  read: (buffer, at) => buffer.readUInt8(at),
  write: (buffer, at, value) => void buffer.writeUInt8(value, at),
})
export const u16 = number<number>(2, {
  read: (buffer, at) => buffer.readUInt16LE(at),
  write: (buffer, at, value) => void buffer.writeUInt16LE(value, at),
})
export const u32 = number<number>(4, {
  read: (buffer, at) => buffer.readUInt32LE(at),
  write: (buffer, at, value) => void buffer.writeUInt32LE(value, at),
})
export const u64 = number<bigint>(8, {
  read: (buffer, at) => buffer.readBigUInt64LE(at),
  write: (buffer, at, value) => void buffer.writeBigUInt64LE(value, at),
})
/** In network byte order, like all values that are compared with a packet. */
export const port = number<number>(2, {
  read: (buffer, at) => buffer.readUInt16BE(at),
  write: (buffer, at, value) => void buffer.writeUInt16BE(value, at),
})

export const flag: FieldKind<boolean> = (type) => {
  const raw = u8(type) ?? u16(type) ?? u32(type)
  return (
    raw && {
      read: (...from) => raw.read(...from) !== 0,
      write: (buffer, at, is) => raw.write(buffer, at, Number(is)),
    }
  )
}

/** A u64 as two u32, the low half first. A u64 itself would be aligned to eight bytes and pad the key of a trie. */
export const u64Halves: FieldKind<bigint> = (type) =>
  type.kind === 'array' && type.length === 2 && isNumber(type.element, 4)
    ? {
        read: (buffer, at) => buffer.readBigUInt64LE(at),
        write: (buffer, at, value) => void buffer.writeBigUInt64LE(value, at),
      }
    : undefined

/** `struct address`: 128 bits, IPv4 mapped. */
export const address: FieldKind<Address> = (type) =>
  type.kind === 'struct' && type.name === 'address' && type.size === 16
    ? {
        read: (buffer, at) => addressFromBytes(buffer.subarray(at, at + 16)),
        write: (buffer, at, value) => buffer.set(addressBytes(value), at),
      }
    : undefined

/** Six bytes as `02:00:00:00:00:01`. */
export const mac: FieldKind<string> = (type) =>
  type.kind === 'array' && type.length === 6 && isNumber(type.element, 1)
    ? {
        read: (buffer, at) => macText(buffer.subarray(at, at + 6)),
        write: (buffer, at, value) => buffer.set(macBytes(value), at),
      }
    : undefined

/** A field kind for another view of the same field. */
export function fieldSeenAs<T, U>(
  kind: FieldKind<T>,
  toInner: (value: U) => T,
  fromInner: (value: T) => U,
): FieldKind<U> {
  return (type) => {
    const field = kind(type)
    return (
      field && {
        read: (buffer, at) => fromInner(field.read(buffer, at)),
        write: (buffer, at, value) => field.write(buffer, at, toInner(value)),
      }
    )
  }
}

/** Up to the array's length. Missing elements are encoded as zero. Decoding returns all. */
export function array<T>(element: FieldKind<T>): FieldKind<readonly T[]> {
  return (type) => {
    const field = type.kind === 'array' ? element(type.element) : undefined
    if (type.kind !== 'array' || field === undefined) return undefined
    const size = type.element.size
    return {
      read: (buffer, at) =>
        Array.from({ length: type.length }, (_, index) => field.read(buffer, at + index * size)),
      write(buffer, at, values) {
        if (values.length > type.length)
          throw new RangeError(`${values.length} values for an array of ${type.length}`)
        for (let index = 0; index < values.length; index++)
          field.write(buffer, at + index * size, values[index] as T)
      },
    }
  }
}

/** Encodes each list once, for lists that are the same objects again and again. A list must not change afterwards. */
export function encodedOnce<T extends object>(kind: FieldKind<T>): FieldKind<T> {
  return (type) => {
    const field = kind(type)
    if (field === undefined) return undefined
    const known = new WeakMap<T, Buffer>()
    return {
      read: field.read,
      write(buffer, at, value) {
        const bytes = known.get(value) ?? Buffer.alloc(type.size)
        if (!known.has(value)) {
          field.write(bytes, 0, value)
          known.set(value, bytes)
        }
        bytes.copy(buffer, at)
      },
    }
  }
}

/** Encodes each struct once. The result for the same object is the same buffer, which callers must not write to. */
export function encodedOnceCodec<T extends object>(inner: Codec<T>): Codec<T> {
  const known = new WeakMap<T, Buffer>()
  return {
    ...inner,
    encode(value) {
      const bytes = known.get(value) ?? inner.encode(value)
      known.set(value, bytes)
      return bytes
    },
  }
}

/** A number that has a name in an enum of the same header. */
export function named(values: ReadonlyMap<string, number>): FieldKind<string> {
  const names = new Map([...values].map(([name, value]) => [value, name]))
  return (type) => {
    const raw = u32(type) ?? u8(type)
    if (raw === undefined) return undefined
    return {
      read: (buffer, at) => {
        const value = raw.read(buffer, at)
        return names.get(value) ?? `${value}`
      },
      write(buffer, at, name) {
        const value = values.get(name)
        if (value === undefined)
          throw new RangeError(`${name} is not one of ${[...values.keys()].join(', ')}`)
        raw.write(buffer, at, value)
      },
    }
  }
}

/** Bits as a set of their names. */
export function flags(values: ReadonlyMap<string, number>): FieldKind<readonly string[]> {
  return (type) => {
    const raw = u32(type) ?? u8(type)
    if (raw === undefined) return undefined
    return {
      read(buffer, at) {
        const bits = raw.read(buffer, at)
        return [...values].filter(([, bit]) => (bits & bit) !== 0).map(([name]) => name)
      },
      write(buffer, at, names) {
        let bits = 0
        for (const name of names) bits |= values.get(name) ?? 0
        raw.write(buffer, at, bits)
      },
    }
  }
}
