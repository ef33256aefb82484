import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ciliumPolicy, device, egressNode, isovalentPolicy, world } from '../../test/support/world-builder.ts'
import { kinds } from '../api/kinds.ts'
import { slotEvents } from '../decide/status/events.ts'
import { explainPolicies } from '../decide/status/status.ts'
import { EventWriter, settleMs } from './event-writer.ts'

function eventWriter() {
  const told: string[] = []
  const recorder = {
    record: (
      { kind, name, uid }: { kind: string; name: string; uid: string },
      { reason, message }: { reason: string; message: string },
    ) => told.push(`${kind} ${name} ${uid} ${reason}: ${message}`),
  }
  return { told, eventWriter: new EventWriter(recorder) }
}

test('an Event is about the policy that changed, and names its nodes', () => {
  const { told, eventWriter: of } = eventWriter()
  const object = isovalentPolicy('p')
  const dead = world().nodes.map((each) => (each.name === 'worker3' ? { ...each, isReady: false } : each))
  const any = world({ isovalentPolicies: [object], nodes: dead })
  const statuses = explainPolicies(any)
  const change = (before: readonly string[], after: readonly string[]) => ({
    kind: kinds.isovalentEgressGatewayPolicy,
    object,
    before: { groupStatuses: [{ healthyGatewayIPs: [...before] }] },
    after: { groupStatuses: [{ healthyGatewayIPs: [...after] }] },
  })
  of.notePolicies([change(['172.18.0.4', '172.18.0.3', '172.18.0.5'], [])], statuses, any.nodes, 0)
  assert.deepEqual(told, [
    'IsovalentEgressGatewayPolicy p uid-of-p GatewayUnhealthy: Gateway worker3 is not healthy. New connections avoid it. Check that Node worker3 is Ready, that its agent runs, and that other nodes reach it at the UDP port of the tunnel.',
  ])
})

const condition = (status: 'True' | 'False', reason: string) => ({
  conditions: [{ type: 'Ready', status, reason, message: `because of ${reason}` }],
})

test('a warning that is over within seconds causes no Event, neither at its beginning nor at its end', () => {
  const { told, eventWriter: of } = eventWriter()
  const object = isovalentPolicy('p')
  const any = world({ isovalentPolicies: [object] })
  const statuses = explainPolicies(any)
  const [ready, lost] = [condition('True', 'GatewaysFound'), condition('False', 'EgressIPNotOnNode')]
  const change = (before: object, after: object) =>
    [{ kind: kinds.isovalentEgressGatewayPolicy, object, before, after }] as never
  of.notePolicies(change(ready, lost), statuses, any.nodes, 0)
  of.notePolicies(change(lost, ready), statuses, any.nodes, 1_000)
  of.notePolicies([], statuses, any.nodes, 60_000)
  assert.deepEqual(told, [])
  of.notePolicies(change(ready, lost), statuses, any.nodes, 60_000)
  assert.equal(of.dueInMs(61_000), settleMs - 1_000)
  of.notePolicies([], statuses, any.nodes, 60_000 + settleMs)
  of.notePolicies(change(lost, ready), statuses, any.nodes, 90_000)
  assert.deepEqual(told, [
    'IsovalentEgressGatewayPolicy p uid-of-p EgressIPNotOnNode: because of EgressIPNotOnNode',
    'IsovalentEgressGatewayPolicy p uid-of-p Ready: because of GatewaysFound',
  ])
})

test('a new policy has an Event when it is ready, even if a warning came first and passed', () => {
  const { told, eventWriter: of } = eventWriter()
  const object = isovalentPolicy('p')
  const any = world({ isovalentPolicies: [object] })
  const statuses = explainPolicies(any)
  const [ready, lost] = [condition('True', 'GatewaysFound'), condition('False', 'EgressIPNotOnNode')]
  const change = (before: object, after: object) =>
    [{ kind: kinds.isovalentEgressGatewayPolicy, object, before, after }] as never
  of.notePolicies(change({}, lost), statuses, any.nodes, 0)
  of.notePolicies(change(lost, ready), statuses, any.nodes, 1_000)
  assert.deepEqual(told, ['IsovalentEgressGatewayPolicy p uid-of-p Ready: because of GatewaysFound'])
})

test('a node without a slot has one Event, and another one if it loses its slot again', () => {
  const { told, eventWriter: of } = eventWriter()
  const refused = slotEvents([{ action: 'refuse', node: 'worker', reason: 'all 16 slots are given' }])
  const nodes = [{ name: 'worker', uid: 'u', labels: {}, internalIPs: [], podCIDRs: [], isCordoned: false }]
  of.noteSlots(refused, nodes)
  of.noteSlots(refused, nodes)
  assert.equal(told.length, 1)
  assert.match(
    told[0] ?? '',
    /^Node worker u NoSlot: Node worker gets no ports, because all 16 slots are given/,
  )
  of.noteSlots(new Map(), nodes)
  of.noteSlots(refused, nodes)
  assert.equal(told.length, 2)
})

for (const [why, interfaces] of [
  ['Interface net0 of node worker3 is down.', [device('net0', ['172.18.0.42'], { problem: 'Down' })]],
  ['Interface net0 of node worker3 has no address.', [device('net0', [])]],
  ['Node worker3 has no interface net0.', []],
] as const) // biome-ignore format: a table
  for (const [kind, parts] of [
    ['ciliumEgressGatewayPolicy', { ciliumPolicies: [ciliumPolicy('p')] }],
    ['isovalentEgressGatewayPolicy', { isovalentPolicies: [isovalentPolicy('p')] }],
  ] as const)
    test(`a change of the egress IP of ${kind}: ${why}`, () => {
      const { told, eventWriter: of } = eventWriter()
      const egressNodes = world().egressNodes.map((each) =>
        each.metadata.name === 'worker3' ? egressNode('worker3', 2, interfaces) : each,
      )
      const [before] = explainPolicies(world(parts))
      const after = explainPolicies(world({ ...parts, egressNodes }))
      const object = isovalentPolicy('p')
      const change = {
        kind: kinds[kind],
        object,
        before: { summary: before?.summary },
        after: { summary: after[0]?.summary },
      }
      of.notePolicies([change], after, world().nodes, 0)
      assert.equal(told.length, 1)
      assert.ok(told[0]?.includes(`EgressIPChanged: New connections leave with 172.18.0.43`))
      assert.ok(told[0]?.includes(why), told[0])
    })

test('a change of the egress IP names what happened to the gateway', () => {
  const object = isovalentPolicy('p')
  const statusWith = (gateways: string, egressIPs: string) => ({ summary: { gateways, egressIPs } })
  const nodesAfter = {
    'Node worker3 was deleted.': world().nodes.filter(({ name }) => name !== 'worker3'),
    'No nodeSelector of the policy matches node worker3 now.': world().nodes.map((each) =>
      each.name === 'worker3' ? { ...each, labels: {} } : each,
    ),
    'Node worker3 is cordoned.': world().nodes.map((each) =>
      each.name === 'worker3' ? { ...each, isCordoned: true } : each,
    ),
  }
  for (const [why, nodes] of Object.entries(nodesAfter)) {
    const { told, eventWriter: of } = eventWriter()
    const statuses = explainPolicies(world({ isovalentPolicies: [object], nodes }))
    const change = {
      kind: kinds.isovalentEgressGatewayPolicy,
      object,
      before: statusWith('worker3, worker4', '172.18.0.42, 172.18.0.43'),
      after: statusWith('worker4', '172.18.0.43'),
    }
    of.notePolicies([change], statuses, nodes, 0)
    assert.deepEqual(told, [
      `IsovalentEgressGatewayPolicy p uid-of-p EgressIPChanged: New connections leave with 172.18.0.43 (worker4). Before, they left with 172.18.0.42, 172.18.0.43 (worker3, worker4). ${why}`,
    ])
  }
})
