import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { unhealthyNodes } from './health.ts'
import type { World } from './world.ts'
import { world } from './world-builder.ts'

const { nodes, egressNodes } = world()

/** Who does not hear whom. */
const reports = (unreachable: Readonly<Record<string, readonly string[]>>): Partial<World> => ({
  egressNodes: egressNodes.map((each) => {
    const list = unreachable[each.metadata.name]
    return list === undefined ? each : { ...each, status: { ...each.status, unreachable: [...list] } }
  }),
})
const notReady = (name: string): Partial<World> => ({
  nodes: nodes.map((each) => ({ ...each, isReady: each.name !== name })),
})

const cases: readonly { readonly name: string; readonly world: Partial<World>; readonly expect: string }[] = [
  { name: 'nobody, where nobody complains', world: {}, expect: '' },
  { name: 'one whose kubelet is not heard', world: notReady('worker3'), expect: 'worker3' },
  { name: 'one whose agent has never reported', world: { egressNodes: egressNodes.slice(1) }, expect: 'worker' },
  { name: 'one that most do not hear', world: reports({ worker: ['worker3'], worker2: ['worker3'], worker4: [] }), expect: 'worker3' },
  { name: 'not one that half of them do not hear', world: reports({ worker: ['worker3'], worker2: [] }), expect: '' },
  { name: 'one that the only reporter does not hear', world: reports({ worker: ['worker3'] }), expect: 'worker3' },
  { name: 'not itself by its own word', world: reports({ worker3: ['worker3'] }), expect: '' },
  { name: 'not whom a dead node did not hear', world: { ...reports({ worker4: ['worker3'] }), ...notReady('worker4') }, expect: 'worker4' },
  { name: 'the one that hears nobody, not those that it does not hear', world: reports({ worker: ['worker4'], worker2: ['worker4'], worker3: ['worker4'], worker4: ['worker', 'worker2', 'worker3'] }), expect: 'worker4' },
] // biome-ignore format: a table

describe('unhealthy is', () => {
  for (const { name, world: parts, expect } of cases)
    test(name, () => assert.equal([...unhealthyNodes(world(parts))].join(' '), expect))
})
