import { readFileSync } from 'node:fs'
import { elfSection, elfSymbols } from './elf.ts'

/**
 * The structs, enums and maps of the C side, as the compiler laid them out. They are read from the object file that is about
 * to be loaded, so no layout is written down twice: TypeScript encodes what bpf/types.h defines. Format:
 * Documentation/bpf/btf.rst of the kernel.
 */
export interface Btf {
  struct(name: string): StructLayout
  /** Constants of a named enum, by name. */
  enumeration(name: string): ReadonlyMap<string, number>
  /** A constant of any enum, even of an anonymous one. */
  constant(name: string): number
  hasConstant(name: string): boolean
  readonly maps: ReadonlyMap<string, MapLayout>
  /** Offset and layout of the variables of a data section, as `.rodata`. */
  variables(section: string): ReadonlyMap<string, Member>
}

export type TypeLayout =
  | { readonly kind: 'int'; readonly name: string; readonly size: number }
  | { readonly kind: 'enum'; readonly name: string; readonly size: number }
  | { readonly kind: 'array'; readonly size: number; readonly length: number; readonly element: TypeLayout }
  | { readonly kind: 'pointer'; readonly size: 8 }
  | StructLayout

export interface StructLayout {
  readonly kind: 'struct'
  readonly name: string
  readonly size: number
  readonly members: readonly Member[]
}

interface Member {
  readonly name: string
  readonly offset: number
  readonly type: TypeLayout
}

/** `key` and `value` are missing if the map has none, for example a ring buffer. */
export interface MapLayout {
  readonly name: string
  readonly type: number
  readonly maxEntries: number
  readonly flags: number
  readonly key: TypeLayout | undefined
  readonly value: TypeLayout | undefined
}

const kindOf = {
  int: 1, pointer: 2, array: 3, struct: 4, union: 5, enum: 6, typedef: 8, volatile: 9, const: 10,
  restrict: 11, func: 12, funcProto: 13, var: 14, dataSection: 15, declTag: 17, typeTag: 18, enum64: 19,
} as const // biome-ignore format: one number after another, as in the kernel's list

interface RawType {
  readonly name: string
  readonly kind: number
  readonly count: number
  readonly hasBitfields: boolean
  /** Size or type id, depending on the kind. */
  readonly word: number
  /** The offset after the fixed part. */
  readonly extra: number
}

export function readBtf(objectFile: string): Btf {
  const file = readFileSync(objectFile)
  return parseBtf(elfSection(file, '.BTF'), elfSymbols(file))
}

/** `symbols` has the offset of each variable in its section. */
function parseBtf(section: Buffer, symbols: ReadonlyMap<string, number>): Btf {
  const types = parseTypes(section)
  const name = (offset: number): string => stringAt(section, offset)
  const layouts = new LayoutReader(section, types, name, symbols)
  const constants = new Map<string, number>()
  for (const type of types.values())
    if (type.kind === kindOf.enum)
      for (const [key, value] of layouts.constants(type)) constants.set(key, value)
  const find = (kind: number, wanted: string): RawType => {
    for (const type of types.values()) if (type.kind === kind && type.name === wanted) return type
    throw new Error(`the object file's BTF has no ${kind === kindOf.struct ? 'struct' : 'enum'} ${wanted}`)
  }
  return {
    struct: (wanted) => layouts.struct(find(kindOf.struct, wanted)),
    enumeration: (wanted) => layouts.constants(find(kindOf.enum, wanted)),
    constant(wanted) {
      const value = constants.get(wanted)
      if (value === undefined) throw new Error(`the object file's BTF has no constant ${wanted}`)
      return value
    },
    hasConstant: (wanted) => constants.has(wanted),
    maps: layouts.maps(),
    variables: (wanted) => new Map(layouts.variables(wanted).map((member) => [member.name, member])),
  }
}

/** The types of a separate BTF blob, by id. */
export function readTypes(section: Buffer): (id: number) => TypeLayout {
  const layouts = new LayoutReader(
    section,
    parseTypes(section),
    (offset) => stringAt(section, offset),
    new Map(),
  )
  return (id) => layouts.layout(id)
}

function stringAt(section: Buffer, offset: number): string {
  const strings = section.readUInt32LE(4) + section.readUInt32LE(16)
  const start = strings + offset
  return section.toString('utf8', start, section.indexOf(0, start))
}

function parseTypes(section: Buffer): Map<number, RawType> {
  if (section.readUInt16LE(0) !== 0xeb9f)
    throw new Error('the .BTF section does not begin with its magic number')
  const types = new Map<number, RawType>()
  let at = section.readUInt32LE(4) + section.readUInt32LE(8)
  const end = at + section.readUInt32LE(12)
  for (let id = 1; at < end; id++) {
    const info = section.readUInt32LE(at + 4)
    const type = {
      name: stringAt(section, section.readUInt32LE(at)),
      kind: (info >>> 24) & 0x1f,
      count: info & 0xffff,
      hasBitfields: info >>> 31 === 1,
      word: section.readUInt32LE(at + 8),
      extra: at + 12,
    }
    types.set(id, type)
    at = type.extra + extraLength(type)
  }
  return types
}

function extraLength({ kind, count }: RawType): number {
  switch (kind) {
    case kindOf.int:
    case kindOf.var:
    case kindOf.declTag:
      return 4
    case kindOf.array:
      return 12
    case kindOf.enum:
    case kindOf.funcProto:
      return count * 8
    case kindOf.struct:
    case kindOf.union:
    case kindOf.dataSection:
    case kindOf.enum64:
      return count * 12
    default:
      return 0
  }
}

class LayoutReader {
  readonly #section: Buffer
  readonly #types: ReadonlyMap<number, RawType>
  readonly #name: (offset: number) => string
  readonly #symbols: ReadonlyMap<string, number>

  constructor(
    section: Buffer,
    types: ReadonlyMap<number, RawType>,
    name: (offset: number) => string,
    symbols: ReadonlyMap<string, number>,
  ) {
    this.#section = section
    this.#types = types
    this.#name = name
    this.#symbols = symbols
  }

  #type(id: number): RawType {
    const type = this.#types.get(id)
    if (type === undefined) throw new Error(`the object file's BTF has no type ${id}`)
    return type
  }

  layout(id: number): TypeLayout {
    const type = this.#type(id)
    switch (type.kind) {
      case kindOf.int:
        return { kind: 'int', name: type.name, size: type.word }
      case kindOf.enum:
      case kindOf.enum64:
        return { kind: 'enum', name: type.name, size: type.word }
      case kindOf.pointer:
        return { kind: 'pointer', size: 8 }
      case kindOf.array: {
        const element = this.layout(this.#section.readUInt32LE(type.extra))
        const length = this.#section.readUInt32LE(type.extra + 8)
        return { kind: 'array', size: element.size * length, length, element }
      }
      case kindOf.struct:
      case kindOf.union:
        return this.struct(type)
      case kindOf.typedef:
      case kindOf.volatile:
      case kindOf.const:
      case kindOf.restrict:
      case kindOf.typeTag:
        return this.layout(type.word)
      default:
        throw new Error(`the object file's BTF has a type of kind ${type.kind} where data is expected`)
    }
  }

  struct(type: RawType): StructLayout {
    const members: Member[] = []
    for (let index = 0; index < type.count; index++) {
      const at = type.extra + index * 12
      const bits = this.#section.readUInt32LE(at + 8)
      if (type.hasBitfields && bits >>> 24 !== 0)
        throw new Error(`struct ${type.name} has bit fields, which no codec reads`)
      const name = this.#name(this.#section.readUInt32LE(at))
      members.push({
        name,
        offset: (bits & 0xffffff) / 8,
        type: this.layout(this.#section.readUInt32LE(at + 4)),
      })
    }
    return { kind: 'struct', name: type.name, size: type.word, members }
  }

  constants(type: RawType): Map<string, number> {
    const values = new Map<string, number>()
    for (let index = 0; index < type.count; index++) {
      const at = type.extra + index * 8
      values.set(this.#name(this.#section.readUInt32LE(at)), this.#section.readInt32LE(at + 4))
    }
    return values
  }

  /**
   * The variables of a section with their type ids. The struct of a map itself must not be resolved, because its pointers
   * lead on.
   */
  #dataSection(name: string): { readonly name: string; readonly typeId: number }[] {
    for (const type of this.#types.values()) {
      if (type.kind !== kindOf.dataSection || type.name !== name) continue
      return Array.from({ length: type.count }, (_, index) => {
        const at = type.extra + index * 12
        const variable = this.#type(this.#section.readUInt32LE(at))
        return { name: variable.name, typeId: variable.word }
      })
    }
    return []
  }

  variables(section: string): Member[] {
    return this.#dataSection(section).map(({ name, typeId }) => {
      const offset = this.#symbols.get(name)
      if (offset === undefined) throw new Error(`the object file has no symbol ${name}`)
      return { name, offset, type: this.layout(typeId) }
    })
  }

  /**
   * What the macros of bpf_helpers.h say about maps: `__uint(name, N)` is a pointer to an array of N,
   * `__type(name, T)` a pointer to T.
   */
  maps(): Map<string, MapLayout> {
    const maps = new Map<string, MapLayout>()
    for (const { name, typeId } of this.#dataSection('.maps')) {
      const definition = this.#type(typeId)
      const number = (member: string): number | undefined => {
        const layout = this.#pointee(definition, member)
        return layout?.kind === 'array' ? layout.length : undefined
      }
      maps.set(name, {
        name,
        type: number('type') ?? 0,
        maxEntries: number('max_entries') ?? 0,
        flags: number('map_flags') ?? 0,
        key: this.#pointee(definition, 'key'),
        value: this.#pointee(definition, 'value'),
      })
    }
    return maps
  }

  #pointee(definition: RawType, member: string): TypeLayout | undefined {
    for (let index = 0; index < definition.count; index++) {
      const at = definition.extra + index * 12
      if (this.#name(this.#section.readUInt32LE(at)) !== member) continue
      const pointer = this.#type(this.#section.readUInt32LE(at + 4))
      return pointer.kind === kindOf.pointer ? this.layout(pointer.word) : undefined
    }
    return undefined
  }
}
