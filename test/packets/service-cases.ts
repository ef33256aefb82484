import assert from 'node:assert/strict'
import type { Program } from '../../src/datapath/datapath.ts'
import type { Desired } from '../../src/datapath/desired.ts'
import { dissect } from './dissect.ts'
import type { Journey, TunnelEnd } from './node-under-test.ts'
import { address, ipv4, ipv6 } from './packet.ts'

export const tcp = 6
export const udp = 17

/** Where the endpoint of a Service is, seen from the client's node, in each family. */
export const places = ['near', 'far', 'this node', 'another node', 'outside'] as const
export type Place = (typeof places)[number]

const families = {
  4: {
    packet: ipv4,
    client: '10.244.1.7',
    service: '10.96.0.7',
    endpoints: {
      near: '10.244.1.8',
      far: '10.244.2.9',
      'this node': '172.18.0.3',
      'another node': '172.18.0.4',
      outside: '203.0.113.9',
    },
    egressIp: '172.18.0.42',
  },
  6: {
    packet: ipv6,
    client: 'fd00:1::7',
    service: 'fd00:96::7',
    endpoints: {
      near: 'fd00:1::8',
      far: 'fd00:2::9',
      'this node': '2001:db8::3',
      'another node': '2001:db8::4',
      outside: '2001:db8:ffff::9',
    },
    egressIp: '2001:db8::42',
  },
} as const

export type Family = keyof typeof families
export const ends = (family: Family) => families[family]

const service = { affinityMs: 0, leaving: [] }

type Services = Desired['services']

/** A Service of both families and both protocols at port 80, whose endpoints listen at 8080. */
export function serviceTo(...each: readonly Place[]): Services {
  return ([4, 6] as const).flatMap((family) =>
    serviceAt(family, each.map((place) => families[family].endpoints[place])),
  ) // biome-ignore format: short
}

export function serviceAt(family: Family, endpoints: readonly string[], parts: object = {}): Services {
  const own = address(families[family].service)
  const listening = endpoints.map((each) => ({ address: address(each), port: 8080 }))
  return [
    ...[tcp, udp].map((protocol) => ({ ...service, address: own, port: 80, protocol, endpoints: listening, ...parts })),
    { ...service, address: own, port: 0, protocol: 0, endpoints: [] },
  ] // biome-ignore format: a row each
}

interface Way {
  readonly program: Program
  readonly device: 'pod7' | 'pod8' | 'world'
  readonly tunnel?: TunnelEnd
}

/** How a packet to the endpoint ends, and by which program its answer comes. */
export const ways: Readonly<Record<Place, { readonly verdict: string; readonly back: Way; readonly arrives: string }>> = {
  near: { verdict: 'SENT_TO_POD', back: { program: 'from_pod', device: 'pod8' }, arrives: 'SENT_TO_POD' },
  far: {
    verdict: 'SENT_TO_NODE',
    back: { program: 'from_overlay', device: 'world', tunnel: { vni: 1, node: '172.18.0.4' } },
    arrives: 'SENT_TO_POD',
  },
  'this node': { verdict: 'PASS_TO_HOST', back: { program: 'to_pod', device: 'pod7' }, arrives: 'PASS_TO_STACK' },
  'another node': {
    verdict: 'SENT_TO_NODE',
    back: { program: 'from_overlay', device: 'world', tunnel: { vni: 1, node: '172.18.0.4' } },
    arrives: 'SENT_TO_POD',
  },
  outside: {
    verdict: 'SENT_TO_HOLDER',
    back: { program: 'from_overlay', device: 'world', tunnel: { vni: 3, node: '172.18.0.4' } },
    arrives: 'SENT_TO_POD',
  },
} // biome-ignore format: rows

/** From where to where a packet goes. Its checksums must be right. */
export function readEnds({ out }: Pick<Journey, 'out'>) {
  const { source, destination, sourcePort, destinationPort, wrongChecksums } = dissect(out)
  assert.deepEqual(wrongChecksums, [])
  return { source, destination, sourcePort, destinationPort }
}
