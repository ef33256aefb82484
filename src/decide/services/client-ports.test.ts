import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { allOf, addressesOf as named, outpost, ready, slice } from '../../../test/support/service-world.ts'
import { address, prefix, world } from '../../../test/support/world-builder.ts'
import { familyOf } from '../../net/address.ts'
import { addressAt } from '../../net/prefix.ts'
import { resolve } from '../resolve.ts'
import type { World, WorldEndpoint, WorldService } from '../world.ts'

const own = world().self

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

  test('get pods, processes of any node, and servers outside the cluster, which are never endpoints of a node', () => {
    const outside = '10.0.0.9'
    const inside = world().nodes.flatMap(({ internalIPs, podCIDRs }) => [
      ...internalIPs,
      ...podCIDRs.map((each) => addressAt(each, 9)),
    ])
    const wanted = new Set([outside, ...inside.filter((each) => familyOf(each) === 4)])
    for (const { endpoints: all } of clientsOf({}, [slice([outside, ...inside])]))
      assert.deepEqual(new Set(named(all)), wanted)
    const here = [slice([], { endpoints: [ready(outside, { node: own })] })]
    for (const { clients } of clientsOf({}, here))
      assert.deepEqual(clients?.local, [], 'whatever node a slice names')
  })

  test('find an endpoint of their node as soon as the node has its address, without a change of the Services', () => {
    const parts = {
      services: [web],
      endpoints: [slice([], { endpoints: [ready('203.0.113.9', { node: own })] })],
    }
    const localOf = (nodes: World['nodes']) =>
      allOf(parts.services, parts.endpoints, { nodes }).find(({ clients }) => clients !== undefined)?.clients
        ?.local.length
    const { nodes } = world()
    assert.equal(localOf(nodes), 0)
    assert.equal(
      localOf(
        nodes.map((each, index) => (index === 0 ? { ...each, podCIDRs: [prefix(`203.0.113.0/24`)] } : each)),
      ),
      1,
    )
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
    assert.deepEqual([...checksOf(asked, endpoints.slice(0, 1))], [[32000, { ...named, localEndpoints: 0 }]])
    assert.equal(checksOf({ healthCheckPort: 32000 }, endpoints).size, 0)
  })
})
