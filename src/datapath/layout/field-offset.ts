import type { StructLayout } from './btf.ts'

/** Where a field begins, in bytes. For tables whose values are read in place, without a codec. */
export function offsetOf({ name: struct, members }: StructLayout, name: string): number {
  const member = members.find((each) => each.name === name)
  if (member === undefined) throw new Error(`struct ${struct} has no field ${name}`)
  return member.offset
}
