import type { Desired } from '../../src/datapath/desired.ts'
import type { ClusterEntry } from '../../src/datapath/tables/policy-tables.ts'
import { findDevice } from '../../src/linux/devices.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { macBytes } from '../../src/net/mac.ts'
import type { Prefix } from '../../src/net/prefix.ts'
import {
  type Journey,
  type NodeUnderTest,
  openNode,
  prefix,
  send,
  standardTables,
  type TunnelEnd,
} from './node-under-test.ts'
import { address, ipv4, ipv6 } from './packet.ts'
import { type Family, readEnds, tcp, udp } from './service-cases.ts'

/* Clients outside the cluster: the node under test is the entry node, the endpoint's node, or both. */

export const ends = {
  4: {
    packet: ipv4,
    client: '203.0.113.9',
    any: '0.0.0.0',
    entry: '172.18.0.3',
    otherEntry: '172.18.0.4',
    external: '198.51.100.80',
    near: '10.244.1.8',
    far: '10.244.2.9',
    process: '172.18.0.3',
    outside: '192.0.2.99',
  },
  6: {
    packet: ipv6,
    client: '2001:db8:eeee::9',
    any: '::',
    entry: '2001:db8::3',
    otherEntry: '2001:db8::4',
    external: '2001:db8:80::1',
    near: 'fd00:1::8',
    far: 'fd00:2::9',
    process: '2001:db8::3',
    outside: '2001:db8:aaaa::9',
  },
} as const
type Place = 'near' | 'far' | 'process' | 'outside'
export type Protocol = 'tcp' | 'udp'

export const nodePort = 30080
export const syn = { flags: ['SYN'] } as const
export const ack = { flags: ['ACK'] } as const
export const row = { affinityMs: 0, leaving: [] }
const otherNode = '172.18.0.4'
export const toEndpoint: TunnelEnd = { vni: 8, node: otherNode }
export const fromEndpoint: TunnelEnd = { vni: 9, node: otherNode }

export const families = [4, 6] as const
export const protocols = ['tcp', 'udp'] as const

interface RowParts {
  readonly endpointsOf?: 'anyNode' | 'thisNode'
  readonly affinityMs?: number
  readonly sources?: readonly Prefix[]
}

/** A Service with a node port and an external address in both families. */
export const rows = (
  places: readonly Place[],
  { endpointsOf = 'anyNode', ...parts }: RowParts = {},
): Desired['services'] =>
  families.flatMap((family) => {
    const of = ends[family]
    const inside = places.filter((place) => place !== 'outside')
    const listening = [...inside, ...places.filter((place) => place === 'outside')].map((place) => ({
      address: address(of[place]),
      port: 8080,
    }))
    const here = [of.near, of.process].map(address)
    const clients = {
      endpointsOf,
      inside: inside.length,
      local: listening.filter((each) => here.includes(each.address)),
    }
    const both = { ...row, endpoints: listening, clients, ...parts }
    return [tcp, udp].flatMap((protocol) => [
      { ...both, address: address(of.any), port: nodePort, protocol },
      { ...both, address: address(of.external), port: 80, protocol },
    ])
  })

export interface ClientSide {
  readonly node: NodeUnderTest
  apply(services: Desired['services']): Promise<unknown>
  /** A client's packet at the entry node. */
  fromWorld(packet: Buffer): Journey
  fromTunnel(packet: Buffer, tunnel: TunnelEnd): Journey
  /** Of the pod `near`. */
  fromEndpointPod(packet: Buffer): Journey
}

export function openForClients(): ClientSide {
  const node = openNode({ replaces_kube_proxy: 1 })
  using netlink = new Netlink()
  const own = macBytes(findDevice(netlink, 'world')?.mac ?? '')
  const { world, pod8 } = node.devices
  return {
    node,
    apply: (services) => {
      const tables = standardTables(node)
      return node.datapath.apply({ ...tables, cluster: new Map([...tables.cluster, ...nodes]), services })
    },
    fromWorld: (packet) => send(node, 'from_world', world, framed(own, packet)),
    fromTunnel: (packet, tunnel) => send(node, 'from_overlay', world, packet, tunnel),
    fromEndpointPod: (packet) => send(node, 'from_pod', pod8, packet),
  }
}

const framed = (own: Buffer | Uint8Array, packet: Buffer): Buffer =>
  Buffer.concat([own, macBytes('02:00:00:00:ff:01'), packet.subarray(12)])

const host: ClusterEntry = { kind: 'host', takesNodePorts: true }
const other: ClusterEntry = { kind: 'node', tunnelAddress: address(otherNode), takesNodePorts: true }
const nodes = new Map<Prefix, ClusterEntry>([
  [prefix('172.18.0.3/32'), host],
  [prefix('2001:db8::3/128'), host],
  [prefix('172.18.0.4/32'), other],
  [prefix('2001:db8::4/128'), other],
])

export function packetOf(
  family: Family,
  protocol: Protocol,
  [from, to]: readonly [string, string],
  ports: readonly [number, number],
  options: object = ack,
): Buffer {
  const ip = ends[family].packet(from, to)
  return protocol === 'tcp' ? ip.tcp(...ports, options) : ip.udp(...ports)
}

export const call = (
  family: Family,
  protocol: Protocol,
  to: string,
  port: number,
  options: object = syn,
  sourcePort = 40000,
): Buffer => packetOf(family, protocol, [ends[family].client, to], [sourcePort, port], options)

export const answer = (family: Family, protocol: Protocol, from: string): Buffer =>
  packetOf(family, protocol, [from, ends[family].client], [8080, 40000], { flags: ['SYN', 'ACK'] })

export function read(journey: Journey) {
  const { source, destination, sourcePort, destinationPort } = readEnds(journey)
  return [source, sourcePort, destination, destinationPort]
}
