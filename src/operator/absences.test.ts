import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Absences, noAbsences, noteAbsences } from './absences.ts'

/** Since when `a` is missing, at each moment. */
function sinceWhen(moments: readonly (readonly [isMissing: boolean, term: number])[]) {
  let absences: Absences<string> = noAbsences()
  return moments.map(([isMissing, term], nowMs) => {
    absences = noteAbsences(absences, isMissing ? ['a'] : [], term, nowMs)
    return absences.sinceMs.get('a')
  })
}

const cases = [
  { name: 'is counted from the moment when it was first seen', moments: [[false, 1], [true, 1], [true, 1]], expect: [undefined, 1, 1] },
  { name: 'is counted again from the start after it was over', moments: [[true, 1], [false, 1], [true, 1]], expect: [0, undefined, 2] },
  { name: 'is counted again from the start in a new term, because it may have been over in between', moments: [[true, 1], [true, 2], [true, 2]], expect: [0, 1, 1] },
] as const // biome-ignore format: a table
for (const { name, moments, expect } of cases)
  test(`an absence ${name}`, () => assert.deepEqual(sinceWhen(moments), expect))
