import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, ciliumPolicy, egressNode, world } from '../../test/support/world-builder.ts'
import type { PortLease } from '../api/egress-address.ts'
import type { EgressNode } from '../api/egress-node.ts'
import { decideLeases, decideStatus, type OperatorWorld, type Seen, startOfMemory } from './decisions.ts'

const ip = address('172.18.0.42')
const goneAfterMs = 240_000

/** Nodes by name; an EgressNode each, with a slot, for those that have a number. */
function seen(
  nodes: readonly string[],
  egressNodes: readonly EgressNode[],
  { term = 1, leases }: { readonly term?: number; readonly leases?: readonly PortLease[] } = {},
): Seen {
  const base = world({ egressNodes })
  const present = nodes.map((name) => ({
    name,
    uid: `uid-of-${name}`,
    labels: {},
    internalIPs: [],
    podCIDRs: [],
    isCordoned: false,
  }))
  const egressAddresses =
    leases === undefined
      ? []
      : [{ metadata: { name: '172-18-0-42', generation: 1 }, spec: { address: ip, leases: [...leases] } }]
  const observed: OperatorWorld = { ...base, nodes: present, egressAddresses }
  return { world: observed, term }
}

const demanding = (name: string, slot: number, blocks: number): EgressNode => ({
  ...egressNode(name, slot, []),
  status: { demand: [{ address: ip, blocks }] },
})

describe('a slot', () => {
  test('is granted to a node without one, and counts as taken before the watches show it', () => {
    const first = decideStatus(startOfMemory, seen(['a'], []), 0)
    assert.deepEqual(first.slots, [{ action: 'create', node: 'a', uid: 'uid-of-a', slot: 0 }])
    assert.deepEqual([...first.memory.slotsGrantedAtMs.keys()], [0])
    const soon = decideLeases(first.memory, seen(['a'], [demanding('b', 1, 4)]), 59_000)
    assert.deepEqual([...soon.memory.slotsGrantedAtMs.keys()], [0])
    const later = decideStatus(soon.memory, seen(['a'], [egressNode('a', 0, [])]), 61_000)
    assert.deepEqual([...later.memory.slotsGrantedAtMs.keys()], [])
  })

  test('is reclaimed when its node has been missing for four minutes of one term', () => {
    const gone = (term: number) => seen([], [egressNode('a', 0, [])], { term })
    const first = decideStatus(startOfMemory, gone(1), 0)
    assert.deepEqual(first.slots, [])
    const early = decideStatus(first.memory, gone(1), goneAfterMs - 1)
    assert.deepEqual(early.slots, [])
    const removed = decideStatus(early.memory, gone(1), goneAfterMs)
    assert.deepEqual(
      removed.slots.map(({ action }) => action),
      ['remove'],
    )
    const otherTerm = decideStatus(early.memory, gone(2), goneAfterMs)
    assert.deepEqual(otherTerm.slots, [])
  })

  test('is not reclaimed while it has leases, and both decisions count the same absence', () => {
    const gone = seen([], [egressNode('a', 0, [])], { leases: [{ firstPort: 2048, blocks: 4, slot: 0 }] })
    const leases = decideLeases(startOfMemory, gone, 0)
    assert.equal(
      leases.plans.some(({ isChanged }) => isChanged),
      false,
    )
    const status = decideStatus(leases.memory, gone, goneAfterMs)
    assert.deepEqual(status.slots, [])
    const ended = decideLeases(status.memory, gone, goneAfterMs)
    assert.equal(
      ended.plans.some(({ isChanged }) => isChanged),
      true,
    )
  })

  test('that cannot be granted causes an Event for its node', () => {
    const base = seen(['a'], [])
    const full = { ...base, world: { ...base.world, settings: { ...base.world.settings, slots: 0 } } }
    const decision = decideStatus(startOfMemory, full, 0)
    assert.deepEqual([...decision.slotEvents.keys()], ['a'])
  })

  test('that cannot be granted is a remark of every policy, because nobody knows which pods the node has', () => {
    const base = seen(['a'], [])
    const ciliumPolicies = [ciliumPolicy('p')]
    const reasons = (slots: number) =>
      decideStatus(
        startOfMemory,
        { ...base, world: { ...base.world, ciliumPolicies, settings: { ...base.world.settings, slots } } },
        0,
      ).statuses.flatMap(({ conditions }) =>
        conditions.flatMap(({ type, reason }) => (type === 'PodsCutOff' ? reason : [])),
      )
    assert.deepEqual([reasons(0), reasons(16)], [['NoSlot'], []])
  })
})

describe('a lease', () => {
  test('is granted on demand, and granted alike again until the watches show it', () => {
    const asking = seen(['a'], [demanding('a', 0, 4)])
    const first = decideLeases(startOfMemory, asking, 0)
    const again = decideLeases(first.memory, asking, 1_000)
    assert.deepEqual(first.plans[0]?.leases, [{ firstPort: 65536 - 64, blocks: 4, slot: 0 }])
    assert.deepEqual(again.plans, first.plans)
  })

  test('of a slot without a node ends after four minutes', () => {
    const orphaned = seen([], [], { leases: [{ firstPort: 29936, blocks: 4, slot: 7 }] })
    const first = decideLeases(startOfMemory, orphaned, 0)
    assert.equal(
      first.plans.some(({ isChanged }) => isChanged),
      false,
    )
    const later = decideLeases(first.memory, orphaned, goneAfterMs)
    assert.equal(
      later.plans.some(({ isChanged }) => isChanged),
      true,
    )
  })

  test('is decided without modifying the input', () => {
    const before = structuredClone(startOfMemory)
    decideLeases(startOfMemory, seen(['a'], [demanding('a', 0, 4)]), 0)
    decideStatus(startOfMemory, seen(['a'], []), 0)
    assert.deepEqual(startOfMemory, before)
  })
})

describe('a policy that selects no pod', () => {
  const counting = (
    ...selected: { policy: string; pods: number; families: ['IPv4'] }[]
  ): readonly EgressNode[] => [{ ...egressNode('a', 0, []), status: { interfaces: [], selected } }]
  const some = { policy: 'CiliumEgressGatewayPolicy p', pods: 1, families: ['IPv4'] as ['IPv4'] }
  const of = (egressNodes: readonly EgressNode[], term = 1, isTold = false): Seen => {
    const base = seen(['a'], egressNodes, { term })
    const policy = ciliumPolicy('p')
    const conditions = [
      { type: 'SelectsNoPods', status: 'True' as const, reason: 'r', message: 'm', lastTransitionTime: 't' },
    ]
    const told = isTold ? { ...policy, status: { conditions } } : policy
    return { ...base, world: { ...base.world, ciliumPolicies: [told] } }
  }
  const isTold = (decision: ReturnType<typeof decideStatus>): boolean =>
    decision.statuses.some(({ conditions }) => conditions.some(({ type }) => type === 'SelectsNoPods'))

  test('is reported when the nodes had time to report their pods', () => {
    const first = decideStatus(startOfMemory, of(counting()), 0)
    assert.equal(isTold(first), false)
    const early = decideStatus(first.memory, of(counting()), 15_000)
    assert.equal(isTold(early), false)
    assert.equal(isTold(decideStatus(early.memory, of(counting()), 15_100)), true)
  })

  test('is not told while a node has not counted, or has a pod', () => {
    for (const nodes of [[egressNode('a', 0, [])], counting(some)]) {
      const first = decideStatus(startOfMemory, of(nodes), 0)
      assert.equal(isTold(decideStatus(first.memory, of(nodes), 60_000)), false)
    }
  })

  test('is not reported again by another leader, and not if the policy selects a pod', () => {
    assert.equal(isTold(decideStatus(startOfMemory, of(counting(), 7, true), 0)), true)
    assert.equal(isTold(decideStatus(startOfMemory, of(counting(some), 7, true), 0)), false)
  })
})
