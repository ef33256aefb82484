import { dirname } from 'node:path'
import { Visitor } from 'oxc-parser'
import { isTest, type Source } from './sources.ts'

/** Lines as an editor counts them, comments and empty ones included: that is what a reader scrolls through. */
const linesOf = (text: string): number => text.trimEnd().split('\n').length

export const longFiles = (sources: readonly Source[], limit = 300): readonly string[] =>
  sources.filter(({ text }) => linesOf(text) > limit).map(({ path }) => path)

/**
 * From the line with its name to the one with its last brace. What a function only holds because tests are written so, the
 * callbacks of describe and test, is no function here.
 */
export function longFunctions(sources: readonly Source[], limit = 70): readonly string[] {
  return sources.flatMap(({ path, text, program }) => {
    const found: string[] = []
    const isBody = new Set<object>()
    const names = new Map<object, string>()
    const look = (node: { readonly start: number; readonly end: number }): void => {
      if (isBody.has(node) || linesOf(text.slice(node.start, node.end)) <= limit) return
      const line = text.slice(0, node.start).split('\n').length
      found.push(`${path} ${names.get(node) ?? `line ${line}`}`)
    }
    new Visitor({
      CallExpression({ callee, arguments: given }) {
        const name = callee.type === 'MemberExpression' ? callee.object : callee
        if (name.type === 'Identifier' && /^(describe|test)$/.test(name.name))
          for (const each of given) isBody.add(each)
      },
      VariableDeclarator({ id, init }) {
        if (init && id.type === 'Identifier') names.set(init, id.name)
      },
      MethodDefinition({ key, value }) {
        if ('name' in key) names.set(value, String(key.name))
      },
      FunctionDeclaration(node) {
        names.set(node, node.id?.name ?? 'default')
        look(node)
      },
      FunctionExpression: look,
      ArrowFunctionExpression: look,
    }).visit(program)
    return found
  })
}

/** Folders of src with more sources than one can keep in mind. Tests stand beside their sources and do not count. */
export function crowdedFolders(sources: readonly Source[], limit = 15): readonly string[] {
  const counted = sources.filter(({ path }) => path.startsWith('src/') && !isTest(path))
  return [...Map.groupBy(counted, ({ path }) => dirname(path))]
    .filter(([, files]) => files.length > limit)
    .map(([folder]) => folder)
}
