import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Holding, moveWindow, neededBlocks, planRelease, raiseRequest } from './lease-demand.ts'

describe('a node that runs low', () => {
  const cases: readonly {
    name: string
    wish?: { blocks: number; askedAtMs: number }
    now: { inUse: number; needed: number; isCrowded?: boolean; nowMs: number }
    expect: number
  }[] = [
    { name: 'asks for 64 ports first', now: { inUse: 0, needed: 0, nowMs: 0 }, expect: 4 },
    {
      name: 'asks for twice its ports when all of them are in use',
      wish: { blocks: 4, askedAtMs: 0 },
      now: { inUse: 4, needed: 0, nowMs: 20 },
      expect: 8,
    },
    {
      name: 'asks for no more while granted ports are unused',
      wish: { blocks: 8, askedAtMs: 0 },
      now: { inUse: 4, needed: 0, nowMs: 999 },
      expect: 8,
    },
    {
      name: 'asks again when the operator has not answered for a second',
      wish: { blocks: 8, askedAtMs: 0 },
      now: { inUse: 6, needed: 0, nowMs: 1000 },
      expect: 12,
    },
    {
      name: 'never asks for less',
      wish: { blocks: 64, askedAtMs: 0 },
      now: { inUse: 4, needed: 0, nowMs: 1000 },
      expect: 64,
    },
    {
      name: 'asks for 1,024 ports more when it has many',
      wish: { blocks: 1000, askedAtMs: 0 },
      now: { inUse: 1000, needed: 0, nowMs: 20 },
      expect: 1064,
    },
    {
      name: 'asks for nothing more when its ports are free, whatever one flow has met',
      wish: { blocks: 8, askedAtMs: 0 },
      now: { inUse: 8, needed: 0, isCrowded: false, nowMs: 20 },
      expect: 8,
    },
    {
      name: 'asks for what the flows need that found no port',
      wish: { blocks: 4, askedAtMs: 0 },
      now: { inUse: 4, needed: 125, nowMs: 20 },
      expect: 125,
    },
    {
      name: 'asks for these at once, even while an earlier request is open',
      wish: { blocks: 8, askedAtMs: 0 },
      now: { inUse: 4, needed: 125, nowMs: 20 },
      expect: 125,
    },
    {
      name: 'never asks for more ports than exist',
      wish: { blocks: 4000, askedAtMs: 0 },
      now: { inUse: 4000, needed: 0, nowMs: 20 },
      expect: 4032,
    },
  ]
  for (const { name, wish, now, expect } of cases)
    test(name, () => assert.equal(raiseRequest(wish, { isCrowded: true, ...now }).blocks, expect))
})

describe('a burst of flows that find no port', () => {
  const begun = moveWindow(undefined, { inUse: 4, refused: 100, nowMs: 0 })
  test('is counted for a second, even if ports are granted meanwhile', () => {
    const later = moveWindow(begun, { inUse: 60, refused: 2036, nowMs: 999 })
    assert.equal(neededBlocks(later, 2036), 4 + 242)
  })
  test('starts a new count after a second, because the same flows try again', () => {
    const later = moveWindow(begun, { inUse: 125, refused: 2036, nowMs: 1000 })
    assert.equal(neededBlocks(later, 2052), 127)
  })
  test('of zero flows needs no ports', () => assert.equal(neededBlocks(begun, 100), 0))
  test('starts a new count when the datapath does', () =>
    assert.equal(neededBlocks(moveWindow(begun, { inUse: 4, refused: 1, nowMs: 10 }), 17), 6))
})

describe('a block that is idle', () => {
  const ages = (blocks: readonly number[], atMs: number) => new Map(blocks.map((block) => [block, atMs]))
  const holding = (parts: Partial<Holding>): Holding => ({
    held: [],
    used: new Set(),
    usedAtMs: new Map(),
    leaving: new Set(),
    released: new Set(),
    ...parts,
  })
  const blocks = [64, 65, 66, 67, 68, 69]
  const plan = (parts: Partial<Holding>) => {
    const { leaving, released } = planRelease(holding(parts), 600, 1000)
    return { leaving: [...leaving], released: [...released] }
  }
  test('for long enough leaves the pool', () =>
    assert.deepEqual(plan({ held: blocks, usedAtMs: ages(blocks, 400) }), { leaving: blocks, released: [] }))
  test('for a short time stays', () =>
    assert.deepEqual(plan({ held: blocks, usedAtMs: ages(blocks, 401) }), { leaving: [], released: [] }))
  test('leaves from the lowest port up, and the last four stay while there are flows', () =>
    assert.deepEqual(
      plan({ held: blocks.toReversed(), usedAtMs: ages(blocks, 0), used: new Set([2048]) }).leaving,
      [64, 65],
    ))
  test('is released when it had left the pool before', () =>
    assert.deepEqual(
      plan({ held: blocks, usedAtMs: ages(blocks, 0), used: new Set([2048]), leaving: new Set([64]) }),
      { leaving: [65], released: [64] },
    ))
  test('is not released while a flow uses it', () =>
    assert.deepEqual(
      plan({ held: blocks, usedAtMs: ages(blocks, 999), used: new Set([64]), leaving: new Set([64]) }),
      { leaving: [64], released: [] },
    ))
  test('stays released until the lease has ended', () => {
    assert.deepEqual(plan({ held: blocks, released: new Set([69]) }).released, [69])
    assert.deepEqual(plan({ held: [64], released: new Set([69]) }).released, [])
  })
})
