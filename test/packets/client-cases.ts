import type { Desired } from '../../src/datapath/desired.ts'
import type { ClusterEntry } from '../../src/datapath/tables/policy-tables.ts'
import { findDevice } from '../../src/linux/devices.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { macBytes } from '../../src/net/mac.ts'
import type { Prefix } from '../../src/net/prefix.ts'
import {
  type Journey,
  mac,
  makeDevice,
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
    outside: '2001:db8:eeee::99',
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

export const nodeClients = {
  4: { address: address('10.244.1.1'), turned: address('10.244.1.0') },
  6: { address: address('fd00:1::1'), turned: address('fd00:1::') },
} as const

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
    const listening = places.map((place) => ({
      address: address(of[place]),
      port: 8080,
    }))
    const here = [of.near, of.process].map(address)
    const clients = {
      endpointsOf,
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
  /** A packet that from_world or to_world has put in front of the program at the node's device for Services. */
  fromDevice(packet: Buffer): Journey
  /** A process's packet that the stack sends out by a device. */
  fromProcess(packet: Buffer): Journey
  /** A packet that the program sends to the node's device for Services. */
  toProcess(packet: Buffer): Journey
  /** Of the pod `near`. */
  fromEndpointPod(packet: Buffer): Journey
}

export function openForClients(): ClientSide {
  const node = openNode({ replaces_kube_proxy: 1 })
  using netlink = new Netlink()
  const own = macBytes(findDevice(netlink, 'world')?.mac ?? '')
  const { world, pod8 } = node.devices
  const wire = makeDevice(netlink, 'svc')
  return {
    node,
    apply: (services) => {
      const tables = standardTables(node)
      return node.datapath.apply({
        ...tables,
        self: { ...tables.self, masquerade6: address(ends[6].entry) },
        egressIps: new Map([...tables.egressIps, ...ownPorts(tables, ends[4].entry, ends[6].entry)]),
        pools: [
          ...tables.pools,
          {
            address: address(ends[6].entry),
            purpose: 'masquerade',
            blocks: ownBlocksOf(tables, ends[4].entry),
          },
        ],
        cluster: new Map([...tables.cluster, ...nodes]),
        services,
        ...asClient(tables, wire),
      })
    },
    fromWorld: (packet) => send(node, 'from_world', world, framed(own, packet)),
    fromTunnel: (packet, tunnel) => send(node, 'from_overlay', world, packet, tunnel),
    fromDevice: (packet) => send(node, 'from_pod', wire, packet),
    fromProcess: (packet) => send(node, 'to_world', world, packet),
    toProcess: (packet) => send(node, 'to_pod', wire, packet),
    fromEndpointPod: (packet) => send(node, 'from_pod', pod8, packet),
  }
}

/** The second address has the ports of the first one. */
function ownPorts({ egressIps }: Desired, one: string, other: string): Desired['egressIps'] {
  const known = egressIps.get(address(one))
  return new Map(known === undefined ? [] : [[address(other), known]])
}

const ownBlocksOf = ({ pools }: Desired, one: string): readonly number[] =>
  pools.find((each) => each.address === address(one) && each.purpose === 'masquerade')?.blocks ?? []

/** The node's processes as a client of Services, at a device of their own. */
function asClient({ pods }: Desired, ifindex: number): Pick<Desired, 'pods' | 'nodeClients'> {
  const itself = {
    policySet: 0n, networkSet: 0n, sinceNs: 0n, ifindex, mac: mac.host7, hostMac: mac.pod7, isQuarantined: false, isNode: true,
  } // biome-ignore format: short
  const clients = families.map((family) => [family, nodeClients[family]] as const)
  return {
    pods: new Map([...pods, ...clients.map(([, client]) => [client.address, itself] as const)]),
    nodeClients: new Map(clients),
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
