import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { allOf, addressesOf as named, outpost, ready, slice } from '../../../test/support/service-world.ts'
import { address, ciliumPolicy, prefix, world } from '../../../test/support/world-builder.ts'
import { resolve } from '../resolve.ts'
import type { ServicePort } from '../tables.ts'
import type { World, WorldEndpoints, WorldService } from '../world.ts'
import { maxEndpoints } from './services.ts'

function servicesOf(
  services: readonly WorldService[],
  endpoints: readonly WorldEndpoints[],
  parts: Partial<World> = {},
): readonly ServicePort[] {
  const base = world()
  return resolve(world({ ...parts, services, endpoints, settings: { ...base.settings, isChained: true, stackCIDRs: [prefix('10.96.0.0/12')] } })).services // biome-ignore format: one row
}

const addressesIn = (found: readonly ServicePort[]): readonly string[] =>
  found.flatMap(({ endpoints }) => endpoints.map((each) => each.address))

test('a Service has an entry for each port, with the ports of its endpoints', () => {
  assert.deepEqual(servicesOf([outpost], [slice(['203.0.113.9'])]), [
    {
      service: 'default/outpost',
      kind: 'ClusterIP',
      address: '10.96.0.7',
      port: 80,
      protocol: 6,
      affinityMs: 0,
      endpoints: [{ address: '203.0.113.9', port: 8000 }],
      leaving: [],
    },
  ])
})

test('endpoints that no policy can select are none: nodes, pods and Services', () => {
  const [node] = world().nodes
  const inside = [...(node?.internalIPs ?? []), '10.96.0.9']
  assert.deepEqual(servicesOf([outpost], [slice(inside)]), [])
  assert.deepEqual(addressesIn(servicesOf([outpost], [slice([...inside, '203.0.113.9'])])), ['203.0.113.9'])
})

test('a slice of another Service, port or family does not count', () => {
  for (const other of [
    slice(['203.0.113.9'], { service: 'other' }),
    slice(['203.0.113.9'], { namespace: 'other' }),
    slice(['203.0.113.9'], { ports: [{ name: 'https', port: 8000, protocol: 'TCP' }] }),
    slice(['203.0.113.9'], { ports: [{ name: 'http', port: 8000, protocol: 'UDP' }] }),
    slice(['2001:db8:ffff::9']),
  ])
    assert.deepEqual(servicesOf([outpost], [other]), [])
})

test('hints do not hide an endpoint that a policy may select', () => {
  const endpoints = [ready('203.0.113.8', { forZones: ['west'] }), ready('203.0.113.9', { forZones: ['east'] })]
  const [first, ...others] = world().nodes
  const nodes = first === undefined ? [] : [{ ...first, labels: { 'topology.kubernetes.io/zone': 'west' } }, ...others]
  assert.equal(addressesIn(servicesOf([outpost], [slice([], { endpoints })], { nodes })).length, 2)
}) // biome-ignore format: a world

test('a protocol that cannot be translated stands for all packets without ports', () => {
  const ports = [{ name: 'http', port: 80, protocol: 'SCTP' }]
  const found = servicesOf([{ ...outpost, ports }], [slice(['203.0.113.9'], { ports })])
  assert.deepEqual(
    found.map(({ port, protocol }) => [port, protocol]),
    [[0, 0]],
  )
})

test('with too many endpoints, those that a policy selects are not missing', () => {
  const many = Array.from({ length: maxEndpoints }, (_, index) => `192.0.2.${index + 1}`)
  const policy = ciliumPolicy('outpost', { destinationCIDRs: ['203.0.113.0/24'] })
  const found = servicesOf([outpost], [slice([...many, '203.0.113.9'])], { ciliumPolicies: [policy] })
  assert.equal(addressesIn(found).length, maxEndpoints)
  assert.ok(addressesIn(found).includes('203.0.113.9'))
})

describe('Sallyport replaces kube-proxy', () => {
  const own = world().self
  const ofPort = (services: readonly WorldService[], endpoints: readonly WorldEndpoints[]) =>
    allOf(services, endpoints).find(({ port }) => port === 80)

  test('every endpoint counts, wherever it is, and each once', () => {
    const [node] = world().nodes
    const everywhere = ['10.244.2.9', '203.0.113.9', ...(node?.internalIPs ?? []).slice(0, 1)]
    const found = ofPort([outpost], [slice(everywhere), slice(everywhere.slice(0, 1))])
    assert.deepEqual(named(found?.endpoints), everywhere.toSorted())
  })

  test('an address has a row for its other ports, and a port without endpoints keeps its row', () => {
    assert.deepEqual(
      allOf([outpost], []).map(({ port, protocol, endpoints }) => [port, protocol, endpoints.length]),
      [
        [80, 6, 0],
        [0, 0, 0],
      ],
    )
  })

  test('endpoints that end get new connections only if there are no others', () => {
    const ending = { isEnding: true }
    const both = { endpoints: [ready('10.244.2.9'), ready('10.244.2.8', ending)] }
    const found = ofPort([outpost], [slice([], both)])
    assert.deepEqual([named(found?.endpoints), named(found?.leaving)], [['10.244.2.9'], ['10.244.2.8']])
    const only = ofPort([outpost], [slice([], { endpoints: [ready('10.244.2.8', ending)] })])
    assert.deepEqual([named(only?.endpoints), named(only?.leaving)], [['10.244.2.8'], []])
  })

  test('internalTrafficPolicy Local counts only endpoints of this node', () => {
    const endpoints = [ready('10.244.2.9', { node: 'elsewhere' }), ready('10.244.1.9', { node: own })]
    const found = ofPort([{ ...outpost, isLocal: true }], [slice([], { endpoints })])
    assert.deepEqual(named(found?.endpoints), ['10.244.1.9'])
  })

  test('external addresses lead to the endpoints of every node, and other ports there stay other hosts’', () => {
    const external = [{ address: address('203.0.113.80'), kind: 'LoadBalancer' as const }]
    const endpoints = [ready('10.244.2.9', { node: 'elsewhere' })]
    const found = allOf([{ ...outpost, external, isLocal: true }], [slice([], { endpoints })])
    assert.deepEqual(
      found.map(({ address: of, kind, port, endpoints: each }) => [of, kind, port, each.length]),
      [
        ['10.96.0.7', 'ClusterIP', 80, 0],
        ['203.0.113.80', 'LoadBalancer', 80, 1],
        ['10.96.0.7', 'ClusterIP', 0, 0],
      ],
    )
  })

  test('of two Services with one external address, the first by name has a port that both have', () => {
    const external = [{ address: address('203.0.113.80'), kind: 'ExternalIPs' as const }]
    const both = ['other', 'first'].map((name) => ({ ...outpost, name, external }))
    const found = allOf(both, []).filter(({ kind }) => kind === 'ExternalIPs')
    assert.deepEqual(
      found.map(({ service }) => service),
      ['default/first'],
    )
  })

  test('nothing is computed again while the Services and endpoints are the same', () => {
    const [services, endpoints] = [[outpost], [slice(['10.244.2.9'])]]
    assert.equal(allOf(services, endpoints), allOf(services, endpoints))
    assert.notEqual(allOf(services, endpoints), allOf(services, [...endpoints]))
  })

  test('the endpoints do not depend on the order in which they are listed', () => {
    const listed = ['10.244.2.9', '10.244.2.10', '10.244.2.11']
    assert.deepEqual(allOf([outpost], [slice(listed)]), allOf([outpost], [slice(listed.toReversed())]))
  })
})

test('without either mode there are none', () => {
  assert.deepEqual(resolve(world({ services: [outpost], endpoints: [slice(['203.0.113.9'])] })).services, [])
})
