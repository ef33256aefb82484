import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, ciliumPolicy, prefix, world } from '../../../test/support/world-builder.ts'
import { resolve } from '../resolve.ts'
import type { ServicePort } from '../tables.ts'
import type { World, WorldEndpoint, WorldEndpoints, WorldService } from '../world.ts'
import { maxEndpoints } from './services.ts'

const outpost: WorldService = {
  namespace: 'default',
  name: 'outpost',
  addresses: [address('10.96.0.7')],
  external: [],
  ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
  affinityMs: 0,
  isLocal: false,
  isLocalForClients: false,
  sources: [],
}

const ready = (text: string, parts: Partial<WorldEndpoint> = {}): WorldEndpoint => ({
  address: address(text),
  isEnding: false,
  ...parts,
})

const slice = (addresses: readonly string[], parts: Partial<WorldEndpoints> = {}): WorldEndpoints => ({
  namespace: 'default',
  service: 'outpost',
  ports: [{ name: 'http', port: 8000, protocol: 'TCP' }],
  endpoints: addresses.map((text) => ready(text)),
  ...parts,
})

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
  const allOf = (services: readonly WorldService[], endpoints: readonly WorldEndpoints[]) => {
    const { settings } = world()
    return resolve(world({ services, endpoints, settings: { ...settings, replacesKubeProxy: true } }))
      .services
  }
  const ofPort = (services: readonly WorldService[], endpoints: readonly WorldEndpoints[]) =>
    allOf(services, endpoints).find(({ port }) => port === 80)
  const named = (found: readonly { readonly address: string }[] | undefined) =>
    found?.map((each) => each.address)

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

  describe('clients outside the cluster', () => {
    const ports = [{ name: 'http', port: 80, protocol: 'TCP', nodePort: 30080 }]
    const external = [
      { address: address('203.0.113.80'), kind: 'ExternalIPs' as const },
      { address: address('203.0.113.81'), kind: 'LoadBalancer' as const },
    ]
    const web = { ...outpost, ports, external }
    const endpoints = [ready('10.244.2.9', { node: 'elsewhere' }), ready('10.244.1.9', { node: own })]
    const clientsOf = (parts: Partial<WorldService>, slices = [slice([], { endpoints })]) =>
      allOf([{ ...web, ...parts }], slices).filter(({ clients }) => clients !== undefined)

    test('reach a Service by its node port, its external IPs and its load balancer, but not by its cluster IP', () => {
      assert.deepEqual(
        clientsOf({}).map(({ kind, address: of, port, protocol }) => [kind, of, port, protocol]),
        [
          ['NodePort', '0.0.0.0', 30080, 6],
          ['ExternalIPs', '203.0.113.80', 80, 6],
          ['LoadBalancer', '203.0.113.81', 80, 6],
        ],
      )
    })

    test('reach node ports in each family that the Service has', () => {
      const addresses = [address('10.96.0.7'), address('fd00:96::7')]
      const found = clientsOf({ addresses, external: [] })
      assert.deepEqual(
        found.map(({ address: of, endpoints: each }) => [of, each.length]),
        [
          ['0.0.0.0', 2],
          ['::', 0],
        ],
      )
    })

    test('get endpoints of every node, and those of this node are listed once more', () => {
      for (const { endpoints: all, clients } of clientsOf({ isLocal: true })) {
        assert.deepEqual(named(all), ['10.244.1.9', '10.244.2.9'])
        assert.deepEqual([clients?.endpointsOf, named(clients?.local)], ['anyNode', ['10.244.1.9']])
      }
    })

    test('get only endpoints of their node with externalTrafficPolicy Local, ending ones if there are no others', () => {
      for (const { endpoints: all, clients } of clientsOf({ isLocalForClients: true })) {
        assert.equal(all.length, 2, 'pods get endpoints of every node')
        assert.deepEqual([clients?.endpointsOf, named(clients?.local)], ['thisNode', ['10.244.1.9']])
      }
      const ending = [
        ready('10.244.2.9', { node: 'elsewhere' }),
        ready('10.244.1.9', { node: own, isEnding: true }),
      ]
      for (const { clients } of clientsOf({ isLocalForClients: true }, [slice([], { endpoints: ending })]))
        assert.deepEqual(named(clients?.local), ['10.244.1.9'])
    })

    test('find endpoints whose slice names no node by their addresses', () => {
      const [{ internalIPs = [], podCIDRs = [] } = {}] = world().nodes.filter(({ name }) => name === own)
      const pod = `${podCIDRs[0]}`.replace('.0/24', '.77')
      const [found] = clientsOf({}, [slice([pod, `${internalIPs[0]}`, '10.244.9.9'])])
      assert.deepEqual(new Set(named(found?.clients?.local)), new Set([pod, `${internalIPs[0]}`]))
    })

    test('reach node ports at every address of a node, or at those that the setting names', () => {
      const { settings, nodes } = world()
      const takers = (parts: Partial<World['settings']>) => {
        const { cluster } = resolve(world({ settings: { ...settings, replacesKubeProxy: true, ...parts } }))
        return [...cluster].flatMap(([of, entry]) => ('takesNodePorts' in entry ? [of] : []))
      }
      const all = nodes.flatMap(({ internalIPs }) => internalIPs)
      assert.deepEqual(new Set(takers({}).map((each) => each.split('/')[0])), new Set(all))
      assert.deepEqual(takers({ nodePortAddresses: [prefix('172.18.0.5/32')] }), ['172.18.0.5/32'])
      assert.deepEqual(takers({ replacesKubeProxy: false }), [])
    })

    test('are held to the source ranges at the addresses of the load balancer alone', () => {
      const sources = [prefix('192.0.2.0/24'), prefix('2001:db8::/32')]
      assert.deepEqual(
        clientsOf({ sources }).map(({ kind, sources: each }) => [kind, each]),
        [
          ['NodePort', undefined],
          ['ExternalIPs', undefined],
          ['LoadBalancer', ['192.0.2.0/24']],
        ],
      )
    })

    test('learn from the health check whether this node has an endpoint', () => {
      const { settings } = world()
      const checksOf = (parts: Partial<WorldService>, listed: readonly WorldEndpoint[]) =>
        resolve(
          world({
            services: [{ ...web, ...parts }],
            endpoints: [slice([], { endpoints: listed })],
            settings: { ...settings, replacesKubeProxy: true },
          }),
        ).healthChecks
      const asked = { isLocalForClients: true, healthCheckPort: 32000 }
      const named = { namespace: 'default', name: 'outpost' }
      assert.deepEqual([...checksOf(asked, endpoints)], [[32000, { ...named, localEndpoints: 1 }]])
      assert.deepEqual(
        [...checksOf(asked, endpoints.slice(0, 1))],
        [[32000, { ...named, localEndpoints: 0 }]],
      )
      assert.equal(checksOf({ healthCheckPort: 32000 }, endpoints).size, 0)
    })
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
