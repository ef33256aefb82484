import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Losses } from './losses.ts'
import { isSampled, RecordLimit } from './record-limit.ts'

const taken = (limit: RecordLimit, tries: number, nowMs: number): number =>
  Array.from({ length: tries }).filter(() => limit.take(nowMs)).length

test('a limit lets a minute’s records through at once, and then so many a second', () => {
  const limit = new RecordLimit(10, 0)
  assert.equal(taken(limit, 1000, 0), 600)
  assert.equal(taken(limit, 1000, 500), 5)
  assert.equal(taken(limit, 1000, 1_500), 10)
  assert.equal(taken(limit, 1000, 1_000_000), 600)
})

test('sampling takes about one in so many flows, and the same ones again', () => {
  const flows = Array.from({ length: 10_000 }, (_, index) => BigInt(index * 1_234_567 + 17))
  const sampled = flows.filter((createdNs) => isSampled(createdNs, 10))
  assert.ok(sampled.length > 800 && sampled.length < 1200, `${sampled.length}`)
  assert.deepEqual(
    sampled.filter((createdNs) => isSampled(createdNs, 10)),
    sampled,
  )
  assert.equal(flows.filter((createdNs) => isSampled(createdNs, 1)).length, flows.length)
})

test('losses are told once, by reason, with their time', () => {
  const losses = new Losses()
  losses.add('limit', 1_000)
  losses.add('limit', 3_000, 2)
  losses.add('buffer', 5_000, 7, 2_000)
  assert.deepEqual(
    losses
      .take('worker')
      .map(({ reason, records, begin, end }) => [reason, records, Date.parse(begin), Date.parse(end)]),
    [
      ['limit', 3, 1_000, 3_000],
      ['buffer', 7, 2_000, 5_000],
    ],
  )
  assert.deepEqual(losses.take('worker'), [])
  assert.deepEqual(losses.total, { buffer: 7, limit: 3, file: 0, collector: 0 })
})
