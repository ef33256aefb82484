import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { serviceRoutes } from '../../src/agent/node/service-device.ts'
import type { Desired } from '../../src/datapath/desired.ts'
import type { ClusterEntry } from '../../src/datapath/tables/policy-tables.ts'
import type { ServicePort } from '../../src/decide/tables.ts'
import { findDevice } from '../../src/linux/devices.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { macBytes } from '../../src/net/mac.ts'
import type { Prefix } from '../../src/net/prefix.ts'
import { prefix } from '../support/world-builder.ts'
import { dissect } from './dissect.ts'
import {
  type Journey,
  mac,
  makeDevice,
  type NodeUnderTest,
  openNode,
  reset,
  send,
  skip,
  standardTables,
  type TunnelEnd,
} from './node-under-test.ts'
import { address, ipv4, ipv6 } from './packet.ts'
import { type Family, readEnds } from './service-cases.ts'
import {
  type Backend,
  backendNames,
  backends,
  type Door,
  doorNames,
  doors,
  endpointPort,
  families,
  type Protocol,
  protocols,
  servicesTo,
} from './service-matrix-cases.ts'

/*
 * Clients that are no pods, at every kind of address of a Service with every kind of endpoint. pod-service-matrix.test.ts has pods. The
 * rows are what an agent makes of the Service object.
 */

/** Doors that processes of nodes cannot use. Their packets are not routed to the programs, and go where they would without Sallyport. */
const closedToProcesses: readonly Door[] = ['a node port', 'an external IP', 'a load balancer IP']

/** Endpoints that clients outside cannot reach: they are refused at once. */
const closedToClientsOutside: readonly Backend[] = ['a server outside the cluster']

const itself = { 4: '172.18.0.3', 6: '2001:db8::3' } as const
/** From which address processes of the node call Services. */
const processes = { 4: '10.244.1.1', 6: 'fd00:1::1' } as const
const clientsOutside = { 4: '192.0.2.99', 6: '2001:db8:eeee::99' } as const
const clientPort = 40000
const other = '172.18.0.4'
const otherNode = { 4: other, 6: '2001:db8::4' } as const

const nodeEntries: readonly (readonly [Prefix, ClusterEntry])[] = [
  [prefix('172.18.0.3/32'), { kind: 'host', takesNodePorts: true }],
  [prefix('2001:db8::3/128'), { kind: 'host', takesNodePorts: true }],
  [prefix('172.18.0.4/32'), { kind: 'node', tunnelAddress: address(other), takesNodePorts: true }],
  [prefix('2001:db8::4/128'), { kind: 'node', tunnelAddress: address(other), takesNodePorts: true }],
  [prefix('fd00:96::/112'), { kind: 'stack' }],
]

describe('Services without kube-proxy: processes of the node, and clients outside the cluster', {
  skip,
}, () => {
  let node: NodeUnderTest
  let wire: number
  let ownMac: Uint8Array
  before(() => {
    node = openNode({ replaces_kube_proxy: 1 })
    using netlink = new Netlink()
    wire = makeDevice(netlink, 'svc')
    ownMac = macBytes(findDevice(netlink, 'world')?.mac ?? '')
  })
  beforeEach(() => reset(node))

  /** The tables of a node that masquerades in both families, takes node ports, and has a client for its processes. */
  const apply = (services: readonly ServicePort[]): Promise<unknown> => {
    const { cluster, pods, self, egressIps, pools, ...tables } = standardTables(node)
    const asClient = {
      policySet: 0n, networkSet: 0n, sinceNs: 0n, ifindex: wire, mac: mac.host7, hostMac: mac.pod7,
      isQuarantined: false, isNode: true,
    } // biome-ignore format: short
    const [own4, own6] = [address(itself[4]), address(itself[6])]
    const ofIpv6 = pools.flatMap((pool) => (pool.address === own4 ? [{ ...pool, address: own6 }] : []))
    const desired: Desired = {
      ...tables,
      self: { ...self, masquerade6: own6 },
      egressIps: new Map([...egressIps, [own6, egressIps.get(own4) ?? { order: [], blockOwner: [] }]]),
      pools: [...pools, ...ofIpv6],
      pods: new Map([...pods, ...Object.values(processes).map((each) => [address(each), asClient] as const)]),
      cluster: new Map<Prefix, ClusterEntry>([...cluster, ...nodeEntries]),
      services,
    }
    return node.datapath.apply(desired)
  }

  const packet = (
    [family, protocol]: readonly [Family, Protocol],
    [from, sourcePort]: readonly [string, number],
    [to, destinationPort]: readonly [string, number],
    flags: readonly ('SYN' | 'ACK')[],
  ): Buffer => {
    const ip = (family === 4 ? ipv4 : ipv6)(from, to)
    return protocol === 'tcp' ? ip.tcp(sourcePort, destinationPort, { flags }) : ip.udp(sourcePort, destinationPort)
  } // biome-ignore format: short
  const byWire = (bytes: Buffer): Journey => send(node, 'from_pod', wire, bytes)
  const fromPod8 = (bytes: Buffer): Journey => send(node, 'from_pod', node.devices.pod8, bytes)
  const fromTunnel = (vni: number, bytes: Buffer): Journey =>
    send(node, 'from_overlay', node.devices.world, bytes, { vni, node: other } satisfies TunnelEnd)
  const fromWorld = (bytes: Buffer): Journey =>
    send(node, 'from_world', node.devices.world, Buffer.concat([ownMac, macBytes(mac.router), bytes.subarray(12)])) // biome-ignore format: one line
  const toWorld = (bytes: Buffer): Journey => send(node, 'to_world', node.devices.world, bytes)
  const read = (journey: Journey): readonly unknown[] => {
    const { source, sourcePort, destination, destinationPort } = readEnds(journey)
    return [source, sourcePort, destination, destinationPort]
  }
  const flow = (from: string, fromPort: number, to: string, toPort: number): readonly unknown[] =>
    [address(from), fromPort, address(to), toPort] // biome-ignore format: one line

  const cells = backendNames.flatMap((backend) =>
    families.flatMap((family) => protocols.map((protocol) => ({ backend, family, protocol, to: backends[backend][family] }))),
  ) // biome-ignore format: short

  describe('a process of the node', () => {
    /** How its packet ends, and how the answer comes. */
    const paths: Readonly<Record<Backend, { readonly verdict: string; readonly back: (bytes: Buffer) => Journey }>> = {
      'a pod of this node': { verdict: 'SENT_TO_POD', back: fromPod8 },
      'a pod of another node': { verdict: 'SENT_TO_NODE', back: (bytes) => fromTunnel(1, bytes) },
      'a process of this node': { verdict: 'SENT_TO_POD', back: byWire },
      'a process of another node': { verdict: 'SENT_TO_NODE', back: (bytes) => fromTunnel(1, bytes) },
      'a server outside the cluster': { verdict: 'SENT_TO_WORLD_MASQUERADED', back: fromWorld },
    } // biome-ignore format: rows

    for (const door of doorNames.filter((each) => !closedToProcesses.includes(each)))
      for (const { backend, family, protocol, to } of cells)
        test(`${protocol} over IPv${family} to ${door} reaches ${backend}, and the answer comes from there`, async () => {
          await apply(servicesTo(backend))
          const { [family]: at, port } = doors[door]
          const client = processes[family]
          const kind = [family, protocol] as const
          const there = byWire(packet(kind, [client, clientPort], [at, port], ['SYN']))
          assert.equal(there.verdict, paths[backend].verdict)
          const { source = '', sourcePort = 0 } = readEnds(there)
          const seen: Partial<Record<Backend, string>> = {
            'a process of this node': at,
            'a server outside the cluster': itself[family],
          }
          assert.deepEqual(read(there), flow(seen[backend] ?? client, sourcePort, to, endpointPort))
          const answer = packet(kind, [to, endpointPort], [source, sourcePort], ['SYN', 'ACK'])
          const back = paths[backend].back(answer)
          assert.equal(back.verdict, 'SENT_TO_POD')
          assert.deepEqual(read(back), flow(at, port, client, clientPort))
        })

    for (const door of closedToProcesses)
      for (const { backend, family, protocol } of cells)
        test(`${protocol} over IPv${family} to ${door} with the endpoint ${backend} is not served: no route leads to the programs, and its packet leaves as it is`, async () => {
          const services = servicesTo(backend)
          await apply(services)
          const { port } = doors[door]
          const at = door === 'a node port' ? otherNode[family] : doors[door][family]
          const addresses = Object.values(processes).map(address)
          const client = { ifindex: wire, hostIfindex: wire, mac: mac.host7, hostMac: mac.pod7, addresses }
          const routes = serviceRoutes(services, client, 1450)
          const own = prefix(`${at}/${family === 4 ? 32 : 128}`)
          assert.ok(routes.length > 0, 'cluster IPs have routes')
          assert.ok(!routes.some(({ destination }) => destination === own))
          const sent = packet([family, protocol], [itself[family], clientPort], [at, port], ['SYN'])
          const journey = toWorld(sent)
          assert.equal(journey.verdict, 'PASS_NOT_OURS')
          assert.deepEqual(read(journey), flow(itself[family], clientPort, at, port))
        }) // biome-ignore format: a cell
  })

  describe('a client outside the cluster', () => {
    /** How its packet ends at the entry node, whether translated there, and how the answer leaves. */
    const paths: Readonly<Partial<Record<Backend, readonly [verdict: string, program: 'pod' | 'process' | 'tunnel', leaves: string]>>> = {
      'a pod of this node': ['SENT_TO_POD', 'pod', 'SENT_TO_WORLD'],
      'a pod of another node': ['SENT_TO_ENDPOINT', 'tunnel', 'SENT_FORWARDED'],
      'a process of this node': ['PASS_TO_HOST', 'process', 'PASS_REPLY'],
      'a process of another node': ['SENT_TO_ENDPOINT', 'tunnel', 'SENT_FORWARDED'],
    } // biome-ignore format: rows
    const backBy = { pod: fromPod8, process: toWorld, tunnel: (bytes: Buffer) => fromTunnel(9, bytes) }

    for (const door of doorNames.filter((each) => each !== 'the cluster IP'))
      for (const { backend, family, protocol, to } of cells) {
        const path = paths[backend]
        const { [family]: at, port } = doors[door]
        const client = clientsOutside[family]
        const kind = [family, protocol] as const
        const call = (): Journey => fromWorld(packet(kind, [client, clientPort], [at, port], ['SYN']))
        if (path === undefined || closedToClientsOutside.includes(backend)) {
          test(`${protocol} over IPv${family} to ${door} with the endpoint ${backend} is refused at once`, async () => {
            await apply(servicesTo(backend))
            const journey = call()
            assert.equal(journey.verdict, 'SENT_REFUSAL')
            const { source, destination, icmpType, icmpCode } = dissect(journey.out)
            assert.deepEqual([source, destination], [address(at), address(client)])
            assert.deepEqual([icmpType, icmpCode], family === 4 ? [3, 3] : [1, 4])
          })
          continue
        }
        const [verdict, program, leaves] = path
        test(`${protocol} over IPv${family} to ${door} reaches ${backend} with its own address, and the answer comes from there`, async () => {
          await apply(servicesTo(backend))
          const there = call()
          assert.equal(there.verdict, verdict)
          /* The endpoint's node translates, so a packet for another node is as it was, and so is the answer that comes from it. */
          const isHere = program !== 'tunnel'
          assert.deepEqual(read(there), isHere ? flow(client, clientPort, to, endpointPort) : flow(client, clientPort, at, port)) // biome-ignore format: one line
          const from = isHere ? ([to, endpointPort] as const) : ([at, port] as const)
          const back = backBy[program](packet(kind, from, [client, clientPort], ['SYN', 'ACK']))
          assert.equal(back.verdict, leaves)
          assert.deepEqual(read(back), flow(at, port, client, clientPort))
        })
      }

    for (const { backend, family, protocol } of cells)
      test(`${protocol} over IPv${family} to the cluster IP with the endpoint ${backend} gets nothing, because cluster IPs are not reached from outside`, async () => {
        await apply(servicesTo(backend))
        const { [family]: at, port } = doors['the cluster IP']
        const journey = fromWorld(packet([family, protocol], [clientsOutside[family], clientPort], [at, port], ['SYN'])) // biome-ignore format: one line
        assert.equal(journey.verdict, 'PASS_NOT_OURS')
        assert.deepEqual(read(journey), flow(clientsOutside[family], clientPort, at, port))
      })
  })
})
