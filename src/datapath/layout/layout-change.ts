import type { TypeLayout } from './btf.ts'

/**
 * Converts a struct between two versions of its layout, matching fields by name. Fields that the newer version lacks are
 * dropped, and fields that the older version lacks are zero. Numbers keep their value as far as it fits.
 */
export function convertLayout(from: TypeLayout, to: TypeLayout): (bytes: Buffer) => Buffer {
  const moves = [...movesOf(from, 0, to, 0)]
  return (bytes) => {
    const converted = Buffer.alloc(to.size)
    for (const { source, target, size } of moves) bytes.copy(converted, target, source, source + size)
    return converted
  }
}

interface Move {
  readonly source: number
  readonly target: number
  readonly size: number
}

function* movesOf(from: TypeLayout, source: number, to: TypeLayout, target: number): Generator<Move> {
  if (from.kind === 'struct' && to.kind === 'struct') {
    for (const { name, offset, type } of to.members) {
      const earlier = from.members.find((member) => member.name === name)
      if (earlier !== undefined) yield* movesOf(earlier.type, source + earlier.offset, type, target + offset)
    }
  } else if (from.kind === 'array' && to.kind === 'array') {
    for (let index = 0; index < Math.min(from.length, to.length); index++)
      yield* movesOf(
        from.element,
        source + index * from.element.size,
        to.element,
        target + index * to.element.size,
      )
  } else if (isNumber(from) && isNumber(to)) {
    /* Both supported machines are little-endian. */
    yield { source, target, size: Math.min(from.size, to.size) }
  }
}

function isNumber({ kind }: TypeLayout): boolean {
  return kind === 'int' || kind === 'enum'
}
