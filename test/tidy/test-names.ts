import { Visitor } from 'oxc-parser'
import { isTest, type Source } from './sources.ts'

/** Verbs with which a sentence begins that has lost its subject. */
const leading =
  /^(is|are|was|were|has|have|had|does|do|did|can|cannot|may|must|will|would|takes|gets|makes|keeps|says|stays|goes|comes) /

/** Names of tests outside a describe, which would be their subject, that are no sentence: too short, or without a subject. */
export function poorTestNames(sources: readonly Source[]): readonly string[] {
  return sources
    .filter(({ path }) => isTest(path))
    .flatMap(({ path, program }) => {
      const found: string[] = []
      let depth = 0
      const nameOf = (call: { readonly callee: unknown }): string => {
        const { type, name } = call.callee as { type: string; name?: string }
        return type === 'Identifier' ? (name ?? '') : ''
      }
      new Visitor({
        CallExpression(call) {
          if (nameOf(call) === 'describe') depth++
          const [title] = call.arguments
          if (nameOf(call) !== 'test' || depth > 0 || title?.type !== 'Literal') return
          const text = String(title.value)
          if (text.split(/\s+/).length < 3 || leading.test(text)) found.push(`${path}: ${text}`)
        },
        'CallExpression:exit'(call) {
          if (nameOf(call) === 'describe') depth--
        },
      }).visit(program)
      return found
    })
}
