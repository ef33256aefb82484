import fc from 'fast-check'
import type { World, WorldEndpoints, WorldService } from '../../src/decide/world.ts'
import { outpost, ready } from './service-world.ts'
import { address } from './world-builder.ts'

/* Services whose endpoints are pods here and elsewhere, nodes, servers outside the cluster, and the client itself. */

const own = ['10.96.0.7', '10.96.0.8', 'fd00:96::7']
const external = ['203.0.113.77', '203.0.113.78', '203.0.113.78']

/** Mostly to a port that the Service has. */
export const requestToService = fc
  .tuple(
    fc.constantFrom('p0', 'p0', 'p1', 'p2'),
    fc.oneof(
      fc.tuple(fc.constantFrom(...own, ...external), fc.constantFrom(80, 80, 80, 80, 80, 81)),
      fc.tuple(fc.constantFrom('172.18.0.19', '172.18.0.20'), fc.constantFrom(30080, 30081)),
    ),
    fc.constantFrom(
      'tcp' as const,
      'tcp' as const,
      'tcp' as const,
      'tcp' as const,
      'udp' as const,
      'icmp' as const,
    ),
  )
  .map(([pod, [to, port], protocol]) => ({ pod, to, port, protocol }))

const port = { name: 'http', port: 80, protocol: 'TCP', nodePort: 30080 }
const endpoint = fc
  .tuple(
    fc.constantFrom(
      ...[
        '10.244.1.0',
        '10.244.1.0',
        '10.244.1.1',
        '10.244.1.8',
        '10.244.2.9',
        '172.18.0.19',
        '172.18.0.20',
        'fd00::',
      ],
      ...[
        '203.0.113.9',
        '203.0.113.9',
        '203.0.113.1',
        '198.51.100.1',
        '192.0.2.1',
        '2001:db8:1::9',
        '2001:db8:2::1',
      ],
    ),
    fc.constantFrom(false, false, true),
    fc.constantFrom('worker', 'node-a', undefined),
  )
  .map(([text, isEnding, node]) => ready(text, { isEnding, ...(node === undefined ? {} : { node }) }))

const service = fc.record({
  affinityMs: fc.constantFrom(0, 10_800_000),
  isLocal: fc.constantFrom(false, false, false, true),
  isLocalForClients: fc.boolean(),
  sources: fc.constantFrom([], [], ['10.244.1.0/24'], ['192.0.2.0/24']),
  endpoints: fc.array(endpoint, { maxLength: 5 }),
})

/** Two Services, of which the second has no cluster IP of IPv6. */
export const anyServices: fc.Arbitrary<Required<Pick<World, 'services' | 'endpoints'>>> = fc
  .tuple(service, service)
  .map((both) => {
    const services = both.map(
      ({ affinityMs, isLocal, isLocalForClients, sources }, index): WorldService => ({
        ...outpost,
        name: `s${index}`,
        ...{ affinityMs, isLocal, isLocalForClients },
        addresses: (index === 0 ? ['10.96.0.7', 'fd00:96::7'] : ['10.96.0.8']).map((each) => address(each)),
        external: [
          { address: address(`203.0.113.7${7 + index}`), kind: index === 0 ? 'ExternalIPs' : 'LoadBalancer' },
        ],
        sources: sources as unknown as WorldService['sources'],
        ports: [index === 0 ? port : { ...port, nodePort: 30081 }],
      }),
    )
    const endpoints = both.map(
      ({ endpoints: each }, index): WorldEndpoints => ({
        ...{ namespace: 'default', service: `s${index}`, endpoints: each },
        ports: [{ name: 'http', port: index === 0 ? 443 : 8080, protocol: 'TCP' }],
      }),
    )
    return { services, endpoints }
  })
