import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ciliumPolicy, world } from '../../../../test/support/world-builder.ts'
import type { EgressNode } from '../../../api/egress-node.ts'
import type { World } from '../../world.ts'
import { explainPolicies } from '../status.ts'

type Status = NonNullable<EgressNode['status']>

const policy = 'CiliumEgressGatewayPolicy p'
const selects = (pods: number): Status => ({ selected: [{ policy, pods, families: ['IPv4'] }] })
const denies = (pods: number): Status['denied'] => [
  { policy, networkPolicies: ['default/grounded'], pods, example: 'default/luke' },
]
const refuses = (pods: number, problem?: string): Status['refused'] => [
  {
    policy,
    networkPolicies: ['default/grounded'],
    pods,
    example: 'default/luke',
    ...(problem === undefined ? {} : { problem }),
  },
]
const elsewhere: Status['conditions'] = [
  { type: 'Connected', status: 'False', reason: 'AddressNotOnNode', message: '', lastTransitionTime: '' },
]

/** What the nodes of a cluster report beside their interfaces. */
function reporting(statuses: Readonly<Record<string, Status>>): World {
  const egressNodes = world().egressNodes.map((each) => ({
    ...each,
    status: { ...each.status, selected: [], ...statuses[each.metadata.name] },
  }))
  return world({ ciliumPolicies: [ciliumPolicy('p')], egressNodes })
}

function statusOf(of: World, withoutSlot: readonly string[] = []): readonly string[] {
  const [status] = explainPolicies(of, { withoutSlot })
  return (status?.conditions ?? []).map(({ type, status: is, reason }) => `${type}=${is} ${reason}`)
}

const ready = 'Ready=True GatewaysFound'
const dropped = 'Ready=False AllPodsDropped'
const denied = 'PodsDenied=True NoDestinationAllowed'
const cutOff = (reason: string) => `PodsCutOff=True ${reason}`

interface Case {
  readonly name: string
  readonly nodes: Readonly<Record<string, Status>>
  readonly withoutSlot?: readonly string[]
  readonly expect: readonly string[]
}

const cases: readonly Case[] = [
  { name: 'is ready if pods of all nodes can send', nodes: { worker: selects(2) }, expect: [ready] },
  {
    name: 'is not ready if all its pods are on a node without a slot',
    nodes: { worker: selects(2) },
    withoutSlot: ['worker'],
    expect: [dropped, cutOff('NoSlot')],
  },
  {
    name: 'is ready, with a remark, if one of two nodes has no slot',
    nodes: { worker: selects(2), worker2: selects(1) },
    withoutSlot: ['worker'],
    expect: [ready, cutOff('NoSlot')],
  },
  {
    name: 'names a node without a slot that cannot count its pods',
    nodes: { worker: selects(2) },
    withoutSlot: ['worker9'],
    expect: [ready, cutOff('NoSlot')],
  },
  {
    name: 'says nothing of a node without a slot on which it selects no pod',
    nodes: { worker: selects(2) },
    withoutSlot: ['worker2'],
    expect: [ready],
  },
  {
    name: 'is not ready if all its pods are on a node that does not have its address',
    nodes: { worker: { ...selects(2), conditions: elsewhere } },
    expect: [dropped, cutOff('AddressNotOnNode')],
  },
  {
    name: 'is not ready if all its pods are on a node that reaches no gateway, and other nodes do',
    nodes: {
      worker: { ...selects(2), unreachable: ['worker3', 'worker4'] },
      worker2: { heard: ['worker3', 'worker4'] },
    },
    expect: [dropped, cutOff('ReachesNoGateway')],
  },
  {
    name: 'is ready if a node reaches one of two gateways',
    nodes: {
      worker: { ...selects(2), unreachable: ['worker3'] },
      worker2: { heard: ['worker3', 'worker4'] },
    },
    expect: [ready],
  },
  {
    name: 'is not ready if NetworkPolicies allow none of its pods a destination',
    nodes: { worker: { ...selects(2), denied: denies(2) }, worker2: { ...selects(1), denied: denies(1) } },
    expect: [dropped, denied],
  },
  {
    name: 'is ready, with a remark, if NetworkPolicies allow one pod of a node a destination',
    nodes: { worker: { ...selects(2), denied: denies(1) }, worker2: { ...selects(1), denied: denies(1) } },
    expect: [ready, denied],
  },
  {
    name: 'is not ready if each of its pods loses its traffic for another reason',
    nodes: {
      worker: { ...selects(2), denied: denies(2) },
      worker2: { ...selects(1), conditions: elsewhere },
    },
    expect: [dropped, cutOff('AddressNotOnNode'), denied],
  },
  {
    name: 'is not ready if all its pods are refused, which has a reason of its own',
    nodes: { worker: { ...selects(2), refused: refuses(2) } },
    expect: ['Ready=False AllPodsRefused', 'PodsRefused=True NetworkPolicy'],
  },
  {
    name: 'is ready if a part of a NetworkPolicy cannot be evaluated, because the rest may allow something',
    nodes: { worker: { ...selects(2), refused: refuses(2, 'egress[0]') } },
    expect: [ready, 'PodsRefused=True NetworkPolicyUnclear'],
  },
]

describe('a policy', () => {
  for (const { name, nodes, withoutSlot, expect } of cases)
    test(name, () => assert.deepEqual(statusOf(reporting(nodes), withoutSlot), expect))

  test('is ready while an agent of an earlier version does not report its pods', () => {
    const of = reporting({ worker: { ...selects(2), conditions: elsewhere } })
    const egressNodes = of.egressNodes.map((each) =>
      each.metadata.name === 'worker2' ? { ...each, status: { interfaces: [] } } : each,
    )
    assert.deepEqual(statusOf({ ...of, egressNodes }), [ready, cutOff('AddressNotOnNode')])
  })

  test('names the nodes whose pods are cut off, with the number of these pods and what to do', () => {
    const [status] = explainPolicies(reporting({ worker: { ...selects(2), conditions: elsewhere } }))
    const texts = status?.conditions.map(({ message }) => message) ?? []
    for (const text of texts) assert.match(text, /worker \(2 pods\).*kubectl describe egressnode/)
    assert.equal(texts.length, 2)
  })
})
