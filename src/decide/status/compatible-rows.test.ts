import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ciliumPolicy, isovalentPolicy, pod, world } from '../../../test/support/world-builder.ts'
import type { World } from '../world.ts'
import { compatibleRows } from './compatible-rows.ts'

const labels = { org: 'alliance' }
const ships = [
  pod('ywing', { labels, ips: ['10.244.2.68', 'fd00:2::68'], nodeName: 'worker2' }),
  pod('xwing', { labels, ips: ['10.244.1.254'] }),
  pod('tiefighter', { labels: { org: 'empire' }, ips: ['10.244.1.9'] }),
]

function rows(parts: Partial<World>): readonly string[] {
  return compatibleRows(world({ pods: ships, ...parts })).map(
    ({ SourceIP, DestCIDR, EgressIP, GatewayIP }) => `${SourceIP} ${DestCIDR} ${EgressIP} ${GatewayIP}`,
  )
}

test('a node that is not the gateway lists selected pods without the egress IP', () => {
  assert.deepEqual(rows({ ciliumPolicies: [ciliumPolicy('p')] }), [
    '10.244.1.254 172.18.0.0/16 0.0.0.0 172.18.0.4',
    '10.244.2.68 172.18.0.0/16 0.0.0.0 172.18.0.4',
  ])
})

test('the gateway lists the pods of other nodes with the egress IP', () => {
  assert.deepEqual(rows({ ciliumPolicies: [ciliumPolicy('p')], self: 'worker3' }), [
    '10.244.1.254 172.18.0.0/16 172.18.0.42 172.18.0.4',
    '10.244.2.68 172.18.0.0/16 172.18.0.42 172.18.0.4',
  ])
})

test('the fields are exactly those that scripts read', () => {
  const [row] = compatibleRows(world({ pods: ships, ciliumPolicies: [ciliumPolicy('p')] }))
  assert.deepEqual(Object.keys(row ?? {}), ['SourceIP', 'DestCIDR', 'EgressIP', 'GatewayIP'])
})

test('IPv4 comes before IPv6, and IPv6 without an egress IP is ::', () => {
  assert.deepEqual(
    rows({ ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs: ['::/0', '0.0.0.0/0'] })] }),
    [
      '10.244.1.254 0.0.0.0/0 0.0.0.0 172.18.0.4',
      '10.244.2.68 0.0.0.0/0 0.0.0.0 172.18.0.4',
      'fd00:2::68 ::/0 :: 172.18.0.4',
    ],
  )
})

test('a row names an excluded prefix and a missing gateway as such', () => {
  const excludedCIDRs = ['172.18.9.0/24']
  const egressGateway = { nodeSelector: { matchLabels: { a: 'b' } }, interface: 'net0' }
  assert.deepEqual(
    rows({ ciliumPolicies: [ciliumPolicy('p', { excludedCIDRs, egressGateway })], pods: [ships[1]!] }),
    ['10.244.1.254 172.18.0.0/16 0.0.0.0 Not Found', '10.244.1.254 172.18.9.0/24 0.0.0.0 Excluded CIDR'],
  )
})

test('a row names a destination to which no policy applies as such', () => {
  const destinationCIDRs = ['10.96.0.0/24', '203.0.113.0/24']
  assert.deepEqual(
    rows({ ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs })], pods: [ships[1]!], self: 'worker3' }),
    ['10.244.1.254 10.96.0.0/24 0.0.0.0 Not Served', '10.244.1.254 203.0.113.0/24 172.18.0.42 172.18.0.4'],
  )
})

test('a policy that drops has no gateway', () => {
  const destinationCIDRs = ['172.18.0.0/16']
  const egressGateway = { nodeSelector: {}, interface: 'net0', egressIP: '172.18.0.42' }
  assert.deepEqual(
    rows({ ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs, egressGateway })], pods: [ships[1]!] }),
    ['10.244.1.254 172.18.0.0/16 0.0.0.0 Not Found'],
  )
})

for (const [of, policies] of [
  [
    'a policy with one gateway',
    (exit: object) => ({ ciliumPolicies: [ciliumPolicy('p', { egressGateway: exit as never })] }),
  ],
  [
    'a policy with groups',
    (exit: object) => ({ isovalentPolicies: [isovalentPolicy('p', { egressGroups: [exit as never] })] }),
  ],
] as const)
  test(`the gateway of ${of} is the node that has its egressIP, not the first that matches`, () => {
    const exit = { nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, egressIP: '172.18.0.43' }
    const pods = [ships[1]!]
    assert.deepEqual(rows({ ...policies(exit), pods, self: 'worker4' }), [
      '10.244.1.254 172.18.0.0/16 172.18.0.43 172.18.0.3',
    ])
  })

test('a group lists every gateway of the pod’s own zone', () => {
  assert.deepEqual(rows({ isovalentPolicies: [isovalentPolicy('p', { azAffinity: 'localOnly' })] }), [
    '10.244.1.254 172.18.0.0/16 0.0.0.0 172.18.0.4',
    '10.244.2.68 172.18.0.0/16 0.0.0.0 172.18.0.3',
  ])
})

test('no pod is listed when no policy selects one', () => assert.deepEqual(rows({}), []))
