import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pauseAfterMs } from './backoff.ts'

const manyFailures = 20

for (const [what, tookMs, least, most] of [
  ['that was refused at once', 0, 15_000, 30_000],
  ['that waited for 10 s', 10_000, 10_000, 20_000],
  ['that waited for as long as a request may take', 30_000, 2_500, 5_000],
  ['that ended after minutes', 300_000, 2_500, 5_000],
] as const)
  test(`after a try ${what}, the pause is from ${least / 1000} to ${most / 1000} s at most`, () =>
    assert.deepEqual(
      [0, 1].map((random) => pauseAfterMs(manyFailures, random, tookMs)),
      [least, most],
    ))

test('a loop that may pause for less than the rest keeps to that', () =>
  assert.equal(pauseAfterMs(manyFailures, 1, 30_000, 1_000), 1_000))

test('the first pause is short, however long the try took', () =>
  assert.equal(pauseAfterMs(0, 1, 30_000), 200))
