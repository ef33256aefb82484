import { resolve } from '../../src/decide/resolve.ts'
import type { ServicePort } from '../../src/decide/tables.ts'
import type { Settings } from '../../src/decide/world.ts'
import { outpost, slice } from '../support/service-world.ts'
import { address, node, world } from '../support/world-builder.ts'
import type { Family } from './service-cases.ts'

/* A Service with every kind of address, and the rows that an agent of the node under test makes of it. */

/** Where the endpoint is, seen from the node that the client uses. */
export const backends = {
  'a pod of this node': { 4: '10.244.1.8', 6: 'fd00:1::8' },
  'a pod of another node': { 4: '10.244.2.9', 6: 'fd00:2::9' },
  'a process of this node': { 4: '172.18.0.3', 6: '2001:db8::3' },
  'a process of another node': { 4: '172.18.0.4', 6: '2001:db8::4' },
  'a server outside the cluster': { 4: '203.0.113.9', 6: '2001:db8:eeee::9' },
} as const
export type Backend = keyof typeof backends
export const backendNames = Object.keys(backends) as Backend[]

const nodePort = 30080

/** By which address and port the Service is called. Node ports are called at this node. */
export const doors = {
  'the cluster IP': { 4: '10.96.0.7', 6: 'fd00:96::7', port: 80 },
  'a node port': { 4: '172.18.0.3', 6: '2001:db8::3', port: nodePort },
  'an external IP': { 4: '198.51.100.80', 6: '2001:db8:80::1', port: 80 },
  'a load balancer IP': { 4: '198.51.100.90', 6: '2001:db8:90::1', port: 80 },
} as const
export type Door = keyof typeof doors

export const families: readonly Family[] = [4, 6]

export const endpointPort = 8080
const both = (each: Readonly<Record<Family, string>>): readonly string[] => [each[4], each[6]]

/** What `resolve` makes of a Service with this one backend in both families. */
export function servicesTo(backend: Backend): readonly ServicePort[] {
  const ports = [{ name: 'web', protocol: 'TCP' }, { name: 'question', protocol: 'UDP' }] // biome-ignore format: one row
  const external = [
    ...both(doors['an external IP']).map((text) => ({ address: address(text), kind: 'ExternalIPs' as const })),
    ...both(doors['a load balancer IP']).map((text) => ({ address: address(text), kind: 'LoadBalancer' as const })),
  ] // biome-ignore format: a kind each
  const service = {
    ...outpost,
    addresses: both(doors['the cluster IP']).map(address),
    external,
    ports: ports.map((each) => ({ ...each, port: 80, nodePort })),
  }
  const endpoints = slice(both(backends[backend]), { ports: ports.map((each) => ({ ...each, port: endpointPort })) })
  const settings: Settings = { ...world().settings, replacesKubeProxy: true }
  const nodes = [
    node('worker', { ips: ['172.18.0.3', '2001:db8::3'], podCIDRs: ['10.244.1.0/24', 'fd00:1::/64'] }),
    node('other', { ips: ['172.18.0.4', '2001:db8::4'], podCIDRs: ['10.244.2.0/24', 'fd00:2::/64'] }),
  ]
  return resolve(world({ self: 'worker', nodes, services: [service], endpoints: [endpoints], settings })).services
} // biome-ignore format: short
