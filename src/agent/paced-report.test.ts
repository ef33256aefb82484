import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../runtime/clock.ts'
import { PacedReport } from './paced-report.ts'

/** A report of a number, on a clock that the test moves. */
function paced(chance: number) {
  let nowMs = 1_000_000
  const due: number[] = []
  const clock = {
    monotonicMs: () => nowMs,
    after: (ms: number) => {
      due.push(nowMs + ms)
      return () => due.pop()
    },
  } as unknown as Clock
  const report = new PacedReport<number>({ clock, random: () => chance, onDue: () => {} })
  let reported: number | undefined
  return {
    due,
    at: (ms: number, known: number, nodes: number) => {
      nowMs = 1_000_000 + ms
      reported = report.next(known, reported, nodes)
      return reported
    },
  }
}

test('a node reports for the first time at once', () => {
  assert.equal(paced(0.5).at(0, 3, 1000), 3)
})

test('a change waits for a random time, which is longer with more nodes', () => {
  const { at, due } = paced(0.5)
  at(0, 3, 1000)
  assert.equal(at(10_000, 4, 1000), 3)
  assert.deepEqual(due, [1_060_000])
  assert.equal(at(59_999, 5, 1000), 3)
  assert.equal(at(60_000, 5, 1000), 5)
})

test('a change in a small cluster is reported at once, and the next one after five seconds', () => {
  const { at } = paced(0)
  at(0, 3, 5)
  assert.equal(at(10_000, 4, 5), 4)
  assert.equal(at(11_000, 5, 5), 4)
  assert.equal(at(14_999, 6, 5), 4)
  assert.equal(at(15_000, 6, 5), 6)
})

test('a change that is over before it is due is not reported', () => {
  const { at, due } = paced(0.5)
  at(0, 3, 1000)
  at(10_000, 4, 1000)
  assert.equal(at(11_000, 3, 1000), 3)
  assert.deepEqual(due, [])
  assert.equal(at(70_000, 4, 1000), 3)
})
