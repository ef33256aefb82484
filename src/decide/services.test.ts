import assert from 'node:assert/strict'
import { test } from 'node:test'
import { address, ciliumPolicy, prefix, world } from '../../test/support/world-builder.ts'
import { resolve } from './resolve.ts'
import { maxEndpoints } from './services.ts'
import type { OutsideService } from './tables.ts'
import type { World, WorldEndpoints, WorldService } from './world.ts'

const outpost: WorldService = {
  namespace: 'default',
  name: 'outpost',
  addresses: [address('10.96.0.7')],
  ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
  byClient: false,
}

const slice = (addresses: readonly string[], parts: Partial<WorldEndpoints> = {}): WorldEndpoints => ({
  namespace: 'default',
  service: 'outpost',
  ports: [{ name: 'http', port: 8000, protocol: 'TCP' }],
  addresses: addresses.map(address),
  ...parts,
})

function servicesOf(
  services: readonly WorldService[],
  endpoints: readonly WorldEndpoints[],
  parts: Partial<World> = {},
): readonly OutsideService[] {
  const base = world()
  return resolve(world({ ...parts, services, endpoints, settings: { ...base.settings, isChained: true, stackCIDRs: [prefix('10.96.0.0/12')] } })).services // biome-ignore format: one row
}

const addressesIn = (found: readonly OutsideService[]): readonly string[] =>
  found.flatMap(({ endpoints }) => endpoints.map((each) => each.address))

test('a Service has an entry for each port, with the ports of its endpoints', () => {
  assert.deepEqual(servicesOf([outpost], [slice(['203.0.113.9'])]), [
    {
      address: '10.96.0.7',
      port: 80,
      protocol: 6,
      byClient: false,
      endpoints: [{ address: '203.0.113.9', port: 8000 }],
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
