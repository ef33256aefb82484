import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { world } from '../../../test/support/world-builder.ts'
import type { World } from '../world.ts'
import { unhealthyNodes } from './health.ts'

const { nodes, egressNodes } = world()

/** For each node the nodes that it probes. Those that it does not reach have a dash. */
const reports = (words: Readonly<Record<string, readonly string[]>>): Partial<World> => ({
  egressNodes: egressNodes.map((each) => {
    const said = words[each.metadata.name]
    if (said === undefined) return each
    const unreachable = said.filter((word) => word.startsWith('-')).map((word) => word.slice(1))
    return {
      ...each,
      status: { ...each.status, heard: said.filter((word) => !word.startsWith('-')), unreachable },
    }
  }),
})
const notReady = (name: string): Partial<World> => ({
  nodes: nodes.map((each) => ({ ...each, isReady: each.name !== name })),
})

const cases: readonly { readonly name: string; readonly world: Partial<World>; readonly expect: string }[] = [
  { name: 'no node, if no node reports one as unreachable', world: {}, expect: '' },
  { name: 'a node whose kubelet does not report', world: notReady('worker3'), expect: 'worker3' },
  { name: 'a node whose agent has never reported', world: { egressNodes: egressNodes.slice(1) }, expect: 'worker' },
  { name: 'a node that is unreachable from most others', world: reports({ worker: ['-worker3'], worker2: ['-worker3'], worker4: ['worker3'] }), expect: 'worker3' },
  { name: 'not a node that is unreachable from half of the others', world: reports({ worker: ['-worker3'], worker2: ['worker3'] }), expect: '' },
  { name: 'a node that is unreachable from all nodes that probe it', world: reports({ worker: ['-worker3'], worker2: ['worker4'], worker4: [] }), expect: 'worker3' },
  { name: 'not a node that reports itself as unreachable', world: reports({ worker3: ['-worker3'] }), expect: '' },
  { name: 'not a node that only a node that is not ready reports as unreachable', world: { ...reports({ worker4: ['-worker3'] }), ...notReady('worker4') }, expect: 'worker4' },
  { name: 'a node for which only the last report of an unreachable node speaks', world: reports({ worker: ['-worker3', '-worker4'], worker3: ['-worker4'], worker4: ['worker3'] }), expect: 'worker3 worker4' },
  { name: 'the node that reaches no other, not those that it does not reach', world: reports({ worker: ['worker2', 'worker3', '-worker4'], worker2: ['worker', 'worker3', '-worker4'], worker3: ['worker', 'worker2', '-worker4'], worker4: ['-worker', '-worker2', '-worker3'] }), expect: 'worker4' },
] // biome-ignore format: a table

describe('unhealthy is', () => {
  for (const { name, world: parts, expect } of cases)
    test(name, () => assert.equal([...unhealthyNodes(world(parts))].join(' '), expect))
})
