import type { Source } from './sources.ts'

/** Names of src that no other file imports. A unit test that reads a part of its neighbour counts as a reader. */
export function unusedExports(sources: readonly Source[]): readonly string[] {
  const used = new Set(
    sources.flatMap(({ imports }) =>
      imports.flatMap(({ of, names }) => names.map((name) => `${of} ${name}`)),
    ),
  )
  return sources
    .filter(({ path }) => path.startsWith('src/') && !path.endsWith('.test.ts'))
    .flatMap(({ path, exports }) =>
      used.has(`${path} *`) ? [] : exports.map((name) => `${path} ${name}`).filter((each) => !used.has(each)),
    )
}
