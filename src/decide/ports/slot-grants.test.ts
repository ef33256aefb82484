import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { egressNode } from '../../../test/support/world-builder.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import { nodeGoneForMs, planSlots } from './slot-grants.ts'
import { slotsByNode } from './slots.ts'

const nodes = (...names: string[]) => names.map((name) => ({ name, uid: `uid-of-${name}` }))
const gone = (name: string, sinceMs: number) => new Map([[name, sinceMs]])

/** What the operator would do, in words. */
function plan(of: Parameters<typeof planSlots>): readonly string[] {
  return planSlots(...of).map((change) => {
    switch (change.action) {
      case 'create':
        return `create ${change.node} ${change.slot}`
      case 'grant':
        return `grant ${change.egressNode.metadata.name} ${change.slot}`
      case 'remove':
        return `remove ${change.egressNode.metadata.name}`
      default:
        return `refuse ${change.node}: ${change.reason}`
    }
  })
}

describe('slots', () => {
  const cases: readonly { name: string; plan: Parameters<typeof planSlots>; expect: readonly string[] }[] = [
    {
      name: 'are granted from the lowest up, in the order of names',
      plan: [nodes('b', 'a'), [], 512, new Map(), 0],
      expect: ['create a 0', 'create b 1'],
    },
    {
      name: 'fill gaps first',
      plan: [nodes('a', 'b', 'c'), [egressNode('a', 0, []), egressNode('c', 2, [])], 512, new Map(), 0],
      expect: ['create b 1'],
    },
    {
      name: 'stay as they are',
      plan: [nodes('a', 'b'), [egressNode('a', 7, []), egressNode('b', 0, [])], 512, new Map(), 0],
      expect: [],
    },
    {
      name: 'are granted to an object without one',
      plan: [nodes('a'), [egressNode('a', undefined, [])], 512, new Map(), 0],
      expect: ['grant a 0'],
    },
    {
      name: 'are replaced for the younger of two nodes with the same slot',
      plan: [nodes('a', 'b'), [egressNode('b', 0, []), egressNode('a', 0, [])], 512, new Map(), 0],
      expect: ['grant b 1'],
    },
    {
      name: 'are refused when all are in use',
      plan: [nodes('a', 'b', 'c'), [egressNode('a', 0, []), egressNode('b', 1, [])], 2, new Map(), 0],
      expect: ['refuse c: all 2 slots are in use'],
    },
    {
      name: 'are kept for a node that was just deleted',
      plan: [nodes('b'), [egressNode('a', 0, [])], 512, gone('a', 1000), 1000 + nodeGoneForMs - 1],
      expect: ['create b 1'],
    },
    {
      name: 'are reclaimed four minutes after a node was deleted',
      plan: [nodes(), [egressNode('a', 0, [])], 512, gone('a', 1000), 1000 + nodeGoneForMs],
      expect: ['remove a'],
    },
    {
      name: 'are kept while it is unknown when a node was deleted',
      plan: [nodes(), [egressNode('a', 0, [])], 512, new Map(), 1e9],
      expect: [],
    },
  ]
  const leased = (withLeases: number[], withLeasedFloor: number[]) => ({
    withLeases: new Set(withLeases),
    withLeasedFloor: new Set(withLeasedFloor),
  })
  test('whose floor is leased to another slot are not granted', () =>
    assert.deepEqual(plan([nodes('a', 'b'), [], 4, new Map(), 0, leased([], [0, 2])]), [
      'create a 1',
      'create b 3',
    ]))
  test('that have leases are not granted, because the previous node may not know that its slot is gone', () =>
    assert.deepEqual(plan([nodes('a', 'b'), [], 4, new Map(), 0, leased([0, 5], [1, 2, 3])]), [
      'create a 4',
      'create b 6',
    ]))
  test('have no floor when every remaining floor is leased', () =>
    assert.deepEqual(plan([nodes('a'), [], 4, new Map(), 0, leased([], [0, 1, 2, 3])]), ['create a 4']))
  test('are not reclaimed before the leases of the node have ended', () =>
    assert.deepEqual(
      plan([nodes(), [egressNode('a', 0, [])], 4, gone('a', 0), nodeGoneForMs, leased([0], [])]),
      [],
    ))
  for (const { name, plan: of, expect } of cases) test(name, () => assert.deepEqual(plan(of), expect))
})

test('no two nodes have the same slot, and no slot changes, in whatever order nodes are created and deleted', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.boolean()), { maxLength: 30 })
  fc.assert(
    fc.property(steps, (all) => {
      let [held, nowMs]: [EgressNode[], number] = [[], 0]
      const [present, goneSinceMs] = [new Set<string>(), new Map<string, number>()]
      for (const [name, isThere] of all) {
        nowMs += 90_000
        if (isThere) present.add(name)
        else if (present.delete(name)) goneSinceMs.set(name, nowMs)
        for (const each of present) goneSinceMs.delete(each)
        const before = slotsByNode(held)
        held = apply(held, planSlots(nodes(...present), held, 4, goneSinceMs, nowMs))
        const after = slotsByNode(held)
        assert.equal(new Set(after.values()).size, held.length)
        for (const [node, slot] of after) assert.equal(slot, before.get(node) ?? slot)
      }
    }),
  )
})

function apply(held: EgressNode[], changes: ReturnType<typeof planSlots>): EgressNode[] {
  const removed = new Set(
    changes.flatMap((change) => (change.action === 'remove' ? [change.egressNode.metadata.name] : [])),
  )
  const created = changes.flatMap((change) =>
    change.action === 'create' ? [egressNode(change.node, change.slot, [])] : [],
  )
  return [...held.filter(({ metadata }) => !removed.has(metadata.name)), ...created]
}
