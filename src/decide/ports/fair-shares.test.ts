import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Demand, fairShares, planReturns } from './fair-shares.ts'

const demandsOf = (blocks: readonly number[]): Demand[] =>
  blocks.map((each, slot) => ({ slot, blocks: each }))
const sum = (numbers: Iterable<number>): number => [...numbers].reduce((all, each) => all + each, 0)

test('a small demand is met whole, and large ones share the rest', () =>
  assert.deepEqual([...fairShares(demandsOf([4032, 75, 4032]), 3875)].sort(), [
    [0, 1900],
    [1, 75],
    [2, 1900],
  ]))

test('a node that has all blocks returns as many as another node lacks', () =>
  assert.deepEqual(planReturns(demandsOf([3900, 75]), new Map([[0, 3900]]), 0), [{ slot: 0, blocks: 75 }]))

test('no node returns blocks while enough blocks are being returned', () =>
  assert.deepEqual(planReturns(demandsOf([3900, 75]), new Map([[0, 3825]]), 75), []))

test('a node returns blocks that it does not demand, even if it has fewer than others', () =>
  assert.deepEqual(planReturns(demandsOf([3900, 10]), new Map([[0, 3000], [1, 500]]), 0), [
    { slot: 1, blocks: 490 },
  ])) // biome-ignore format: short

test('shares never exceed what exists or what is demanded, and a node with a smaller share than another demands no more', () => {
  const demands = fc.array(fc.nat(5000), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(demands, fc.nat(4032), (blocks, total) => {
      const shares = fairShares(demandsOf(blocks), total)
      assert.equal(sum(shares.values()) <= total, true)
      const largest = Math.max(...shares.values())
      for (const [slot, share] of shares) {
        assert.ok(share <= blocks[slot]!)
        if (share < blocks[slot]!) assert.ok(share >= largest - 1)
      }
      if (sum(blocks) <= total) assert.deepEqual([...shares.values()].sort(), blocks.toSorted())
    }),
  )
})

test('when all nodes have returned their blocks, all have their shares, and no node is asked again', () => {
  const node = fc.record({ held: fc.nat(400), wanted: fc.nat(800) })
  fc.assert(
    fc.property(fc.array(node, { minLength: 1, maxLength: 12 }), fc.nat(50), (nodes, free) => {
      const demands = demandsOf(nodes.map(({ wanted }) => wanted))
      const held = new Map(nodes.map((each, slot) => [slot, each.held]))
      const returns = planReturns(demands, held, free)
      const after = new Map(held)
      for (const { slot, blocks } of returns) after.set(slot, after.get(slot)! - blocks)
      const coming = free + sum(returns.map(({ blocks }) => blocks))
      const shares = fairShares(demands, sum(held.values()) + free)
      const lacking = sum([...shares].map(([slot, share]) => Math.max(share - after.get(slot)!, 0)))
      assert.ok(coming >= lacking, `${coming} are coming, ${lacking} lack`)
      for (const { slot } of returns) assert.ok(after.get(slot)! >= shares.get(slot)!)
      assert.deepEqual(planReturns(demands, after, coming), [])
    }),
  )
})
