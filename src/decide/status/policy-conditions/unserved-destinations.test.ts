import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  ciliumPolicy,
  device,
  egressNode,
  isovalentPolicy,
  prefix,
  world,
} from '../../../../test/support/world-builder.ts'
import { explainPolicies } from '../status.ts'

const settings = {
  ...world().settings,
  stackCIDRs: [prefix('10.96.0.0/12'), prefix('fd96::/108')],
  nonMasqueradeCIDRs: [prefix('192.168.0.0/16')],
}

const onOneLink = world().egressNodes.map((each) => ({
  ...each,
  status: {
    interfaces: (each.status?.interfaces ?? []).map((of) =>
      of.name === 'eth0' ? { ...of, subnets: ['172.18.0.0/16'] } : of,
    ),
  },
}))

function condition(...destinationCIDRs: string[]) {
  const policies = explainPolicies(
    world({
      settings,
      egressNodes: onOneLink,
      ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs })],
      isovalentPolicies: [isovalentPolicy('q', { destinationCIDRs })],
    }),
  ).map(({ conditions }) => conditions.find(({ type }) => type === 'DestinationsNotServed'))
  const [of, ofGroups] = policies
  assert.deepEqual(
    { ...of, observedGeneration: 0 },
    { ...ofGroups, observedGeneration: 0 },
    'both kinds say the same',
  )
  return of
}

test('a policy says that its destinations are left to the stack, with which address, and what to do', () => {
  const { status, reason, message } = condition('10.99.6.0/24') ?? {}
  assert.deepEqual([status, reason], ['True', 'AllDestinations'])
  assert.equal(
    message,
    "destinationCIDRs has 10.99.6.0/24, which is inside 10.96.0.0/12 of the setting stackCIDRs. No policy applies there: packets have the pod's address. Remove the destination, or take it out of stackCIDRs.",
  )
  assert.match(condition('fd96::5/128')?.message ?? '', /fd96::\/108 of the setting stackCIDRs/)
  assert.match(condition('192.168.7.0/24')?.message ?? '', /of the setting nonMasqueradeCIDRs/)
})

for (const [destination, expected] of [
  ['169.254.169.254/32', /\(link-local\)\. No policy applies there: packets leave with the address of the pod's node\./],
  ['fe80::/64', /\(link-local\).*the stack of the pod's node, which forwards none/],
  ['127.0.0.1/32', /\(loopback\)/],
  ['239.1.2.0/24', /\(multicast\).*gateways forward only unicast/],
  ['ff02::1/128', /\(multicast\)/],
  ['255.255.255.255/32', /\(broadcast\).*forwards none/],
  ['172.18.255.255/32', /the broadcast address of 172\.18\.0\.0\/16.*the pod's own node/],
  ['10.244.2.0/25', /the pod network 10\.244\.2\.0\/24.*uses no egress gateway/],
  ['172.18.0.5/32', /the addresses of node worker2.*go to the node directly/],
  ['172.18.0.42/32', /the addresses of node worker3/],
] as const) // biome-ignore format: a table
  test(`a policy says that no policy applies to ${destination}`, () =>
    assert.match(condition(destination)?.message ?? '', expected))

test('chained, the other CNI plugin handles link-local destinations', () => {
  const given = world({
    settings: { ...settings, isChained: true },
    ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs: ['169.254.169.254/32'] })],
  })
  const found = explainPolicies(given)[0]?.conditions.find(({ type }) => type === 'DestinationsNotServed')
  assert.match(found?.message ?? '', /the other CNI plugin handles the packets/)
})

test('an address of another network of one node is served, and so is the broadcast of a network that not all nodes are on', () => {
  const egressNodes = onOneLink.map((each) =>
    each.metadata.name === 'worker3'
      ? egressNode('worker3', 2, [device('eth1', ['192.0.2.9'], { subnets: ['192.0.2.0/24'] })])
      : each,
  )
  for (const destination of ['192.0.2.9/32', '192.0.2.255/32', '172.18.255.255/32']) {
    const of = world({
      egressNodes,
      ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs: [destination] })],
    })
    assert.ok(!explainPolicies(of)[0]?.conditions.some(({ type }) => type === 'DestinationsNotServed'))
  }
})

describe('a policy that serves none of its destinations is not ready, and its columns name no gateway', () => {
  const outcome = (destinationCIDRs: readonly string[], excludedCIDRs: readonly string[] = []) => {
    const spec = { destinationCIDRs: [...destinationCIDRs], excludedCIDRs: [...excludedCIDRs] }
    const of = world({
      settings,
      egressNodes: world().egressNodes.map(({ metadata, spec: of }) =>
        egressNode(metadata.name, of?.slot, [device('net0', ['172.18.0.42'])]),
      ),
      ciliumPolicies: [ciliumPolicy('p', spec)],
      isovalentPolicies: [isovalentPolicy('q', spec)],
    })
    const [one, all] = explainPolicies(of).map(({ conditions, summary }) => {
      const ready = conditions.find(({ type }) => type === 'Ready')
      return [ready?.status, ready?.reason, summary.gateways === '', summary.egressIPs === '']
    })
    assert.deepEqual(one, all)
    return one
  }
  const notServed = ['False', 'DestinationsNotServed', true, true]
  const served = ['True', 'GatewaysFound', false, false]
  for (const [name, found, expected] of [
    ['all are left to the stack', outcome(['10.99.6.0/24']), notServed],
    ['all are pods or multicast', outcome(['10.244.1.0/24', '239.0.0.0/8']), notServed],
    ['it excludes all of them', outcome(['203.0.113.0/24'], ['203.0.113.0/24']), notServed],
    ['all are of a family of which no gateway has an egress IP', outcome(['2001:db8::/32']), ['False', 'NoEgressIP', true, true]],
    ['ready: some are served', outcome(['203.0.113.0/24', '10.99.6.0/24']), served],
    ['ready: one of two families is served', outcome(['203.0.113.0/24', '2001:db8::/32']), served],
    ['ready: it excludes a part', outcome(['203.0.113.0/24'], ['203.0.113.0/25']), served],
  ] as const) // biome-ignore format: a table
    test(name, () => assert.deepEqual(found, expected))
})

test('if other destinations are served, the reason says so', () => {
  assert.equal(condition('203.0.113.0/24', '10.96.0.10/32')?.reason, 'SomeDestinations')
})

test('a destination that contains such a network is not a mistake', () => {
  assert.equal(condition('0.0.0.0/0', '::/0'), undefined)
})
