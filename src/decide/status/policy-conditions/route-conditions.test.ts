import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ciliumPolicy, isovalentPolicy, world } from '../../../../test/support/world-builder.ts'
import type { UnroutedPolicy } from '../../../api/egress-node.ts'
import { resolve } from '../../resolve.ts'
import type { World } from '../../world.ts'
import { explainPolicies } from '../status.ts'

const destinationCIDRs = ['198.51.100.0/24', '192.0.2.0/24']
const one = { ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs })] }
const spread = { isovalentPolicies: [isovalentPolicy('p', { destinationCIDRs })] }
const [first = ''] = destinationCIDRs
type Lacking = readonly string[] | undefined

/** The destinations to which the gateways worker3 and worker4 have no route. Undefined: their agents do not say. */
function conditions(policies: Partial<World>, ...lacking: readonly Lacking[]): readonly string[] {
  const kind =
    policies.ciliumPolicies === undefined ? 'IsovalentEgressGatewayPolicy' : 'CiliumEgressGatewayPolicy'
  const report = (destinations: readonly string[]): UnroutedPolicy[] => [
    { policy: `${kind} p`, all: destinations.length === 2, destinations: [...destinations] },
  ]
  const egressNodes = world().egressNodes.map((each, at) => {
    const unrouted = lacking[at - 2]
    return unrouted === undefined
      ? each
      : { ...each, status: { ...each.status, unrouted: unrouted.length > 0 ? report(unrouted) : [] } }
  })
  const [status] = explainPolicies(world({ ...policies, egressNodes }))
  return (status?.conditions ?? []).map(({ type, status: is, reason }) => `${type}=${is} ${reason}`)
}

const ready = 'Ready=True GatewaysFound'
const cases = [
  { name: 'is ready if its gateway has all routes', policies: one, lacking: [[], []], expect: [ready] },
  {
    name: 'is ready if agents of an earlier version do not say',
    policies: one,
    lacking: [undefined, undefined],
    expect: [ready],
  },
  {
    name: 'is not ready if its gateway has no route',
    policies: one,
    lacking: [destinationCIDRs, []],
    expect: ['Ready=False NoRoute', 'NoRoute=True AllDestinations'],
  },
  {
    name: 'is ready if only a gateway that new connections do not use has no route',
    policies: one,
    lacking: [[], destinationCIDRs],
    expect: [ready],
  },
  {
    name: 'is ready, with a remark, if its gateway lacks one of two routes',
    policies: one,
    lacking: [[first], []],
    expect: [ready, 'NoRoute=True SomeDestinations'],
  },
  {
    name: 'is ready, with a remark, if one of two gateways has no route',
    policies: spread,
    lacking: [destinationCIDRs, []],
    expect: [ready, 'NoRoute=True SomeDestinations'],
  },
  {
    name: 'is not ready if none of its gateways has a route',
    policies: spread,
    lacking: [destinationCIDRs, destinationCIDRs],
    expect: ['Ready=False NoRoute', 'NoRoute=True AllDestinations'],
  },
]

describe('a policy', () => {
  for (const { name, policies, lacking, expect } of cases)
    test(name, () => assert.deepEqual(conditions(policies, ...lacking), expect))

  test('that a node carries is known there with its addresses and the destinations that it applies to', () => {
    const destinations = { destinationCIDRs: [...destinationCIDRs, '10.96.0.0/16', '2001:db8::/32'] }
    const policies = { ciliumPolicies: [ciliumPolicy('p', { ...destinations, excludedCIDRs: [first] })] }
    const carried = (self: string) => resolve(world({ ...policies, self })).carried
    assert.deepEqual(carried('worker3'), [
      {
        policy: 'CiliumEgressGatewayPolicy p',
        addresses: ['172.18.0.42', 'fc00::42'],
        destinations: ['192.0.2.0/24', '2001:db8::/32'],
      },
    ])
    assert.deepEqual(carried('worker'), [])
  })
})
