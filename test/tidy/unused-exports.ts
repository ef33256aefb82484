import { isTest, type Source } from './sources.ts'

/**
 * Names of src that no other file of the product, and no tool, imports. A test alone is no reason to export: what only a test
 * needs belongs to test/support.
 */
export function unusedExports(sources: readonly Source[]): readonly string[] {
  const used = new Set<string>()
  for (const { path, imports } of sources)
    if (!isTest(path) && !path.startsWith('test/'))
      for (const { of, names } of imports) for (const name of names) used.add(`${of} ${name}`)
  return sources
    .filter(({ path }) => path.startsWith('src/') && !isTest(path))
    .flatMap(({ path, exports }) =>
      used.has(`${path} *`) ? [] : exports.map((name) => `${path} ${name}`).filter((each) => !used.has(each)),
    )
}
