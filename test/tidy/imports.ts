import { isTest, type Source } from './sources.ts'

/** Which room may import which others, and why. A room is the longest prefix of a path that is named here. */
export type Matrix = Readonly<Record<string, Readonly<Record<string, string>>>>

/** Rooms outside src are what a path begins with; an empty row imports nothing but itself. */
export function forbiddenImports(
  sources: readonly Source[],
  matrix: Matrix,
  exceptions: readonly string[] = [],
): readonly string[] {
  const rooms = Object.keys(matrix).sort((a, b) => b.length - a.length)
  const roomOf = (path: string): string | undefined => rooms.find((room) => path.startsWith(`${room}/`))
  return sources
    .filter(({ path }) => !isTest(path))
    .flatMap(({ path, imports }) => {
      const from = roomOf(path)
      if (from === undefined) return [`${path} is in no room: add its folder to the matrix`]
      return imports
        .map(({ of }) => of)
        .filter((of) => of.endsWith('.ts') && roomOf(of) !== from && !allows(from, matrix[from], roomOf(of)))
        .map((of) => `${path} imports ${of}`)
    })
    .filter((line) => !exceptions.includes(line))
}

/** A room that is allowed brings the rooms inside it, except for its own inner rooms: their row names each of them. */
function allows(from: string, row: Readonly<Record<string, string>> = {}, to: string | undefined): boolean {
  const brings = (room: string): boolean =>
    to?.startsWith(`${room}/`) === true && !from.startsWith(`${room}/`)
  return to !== undefined && Object.keys(row).some((room) => to === room || brings(room))
}

/** Tests may import what they test and test support, and never the benchmark. */
export const importsOfBench = (sources: readonly Source[]): readonly string[] =>
  sources
    .filter(({ path }) => path.startsWith('test/') || isTest(path))
    .flatMap(({ path, imports }) =>
      imports.filter(({ of }) => of.startsWith('bench/')).map(({ of }) => `${path} imports ${of}`),
    )
