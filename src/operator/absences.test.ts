import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Absences } from './absences.ts'

/** What is known of `a` at each moment: its Node is there or not, its EgressNode is there or not, and who leads. */
function sinceWhen(moments: readonly (readonly [hasNode: boolean, hasEgressNode: boolean, term: number])[]) {
  const absences = new Absences()
  return moments.map(([hasNode, hasEgressNode, term], nowMs) => {
    const nodes = hasNode ? [{ name: 'a' }] : []
    const egressNodes = hasEgressNode ? [{ metadata: { name: 'a' } }] : []
    return absences.update({ nodes, egressNodes }, term, nowMs).get('a')
  })
}

const cases = [
  { name: 'a node is missing since its Node was', moments: [[true, true, 1], [false, true, 1], [false, true, 1]], expect: [undefined, 1, 1] },
  { name: 'a node that came back is missing since it went again', moments: [[false, true, 1], [true, true, 1], [false, true, 1]], expect: [0, undefined, 2] },
  { name: 'a node whose EgressNode went, too, is counted anew with the next one', moments: [[false, true, 1], [false, false, 1], [false, true, 1]], expect: [0, undefined, 2] },
  { name: 'who leads again counts anew: meanwhile the node may have been there', moments: [[false, true, 1], [false, true, 2], [false, true, 2]], expect: [0, 1, 1] },
] as const // biome-ignore format: a table
for (const { name, moments, expect } of cases) test(name, () => assert.deepEqual(sinceWhen(moments), expect))
