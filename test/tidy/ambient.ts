import { Visitor } from 'oxc-parser'
import type { Source } from './sources.ts'

/** What a function takes from its surroundings instead of its arguments: no test can set it, and no simulation can replay it. */
export type Ambient = 'clock' | 'random' | 'timer' | 'environment'

const timers = new Set(['setTimeout', 'setInterval', 'setImmediate'])

export function ambientUses(sources: readonly Source[], what: Ambient): readonly string[] {
  return sources.filter(({ program }) => usesOf(program).has(what)).map(({ path }) => path)
}

function usesOf(program: Source['program']): ReadonlySet<Ambient> {
  const found = new Set<Ambient>()
  new Visitor({
    MemberExpression({ object, property }) {
      if (object.type !== 'Identifier' || property.type !== 'Identifier') return
      const name = `${object.name}.${property.name}`
      if (name === 'Date.now' || name === 'performance.now') found.add('clock')
      if (name === 'Math.random') found.add('random')
      if (name === 'process.env') found.add('environment')
      if (name === 'AbortSignal.timeout') found.add('timer')
    },
    NewExpression({ callee, arguments: given }) {
      if (callee.type === 'Identifier' && callee.name === 'Date' && given.length === 0) found.add('clock')
    },
    CallExpression({ callee }) {
      if (callee.type === 'Identifier' && timers.has(callee.name)) found.add('timer')
    },
  }).visit(program)
  return found
}
