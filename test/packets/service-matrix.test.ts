import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import {
  type ClientSide,
  fromEndpoint,
  nodeClients,
  openForClients,
  type Protocol,
  packetOf,
  protocols,
  read,
} from './client-cases.ts'
import { type Journey, reset, send, skip } from './node-under-test.ts'
import { address } from './packet.ts'
import type { Family } from './service-cases.ts'
import {
  type Backend,
  backendNames,
  backends,
  type Door,
  doors,
  endpointPort,
  families,
  servicesTo,
} from './service-matrix-cases.ts'

/*
 * Clients that are no pods, at every kind of address of a Service with every kind of endpoint. pod-service-matrix.test.ts has pods. The
 * rows are what an agent makes of the Service object.
 */

const itself = { 4: '172.18.0.3', 6: '2001:db8::3' } as const
const clientsOutside = { 4: '192.0.2.99', 6: '2001:db8:eeee::77' } as const
const clientPort = 40000
const syn = { flags: ['SYN'] } as const
const synAck = { flags: ['SYN', 'ACK'] } as const
const masqueraded: Backend = 'a server outside the cluster'

type Ends = readonly [from: string, fromPort: number, to: string, toPort: number]

interface Cell {
  readonly backend: Backend
  readonly family: Family
  readonly protocol: Protocol
  /** The address of the backend. */
  readonly to: string
}

const cells: readonly Cell[] = backendNames.flatMap((backend) =>
  families.flatMap((family) =>
    protocols.map((protocol) => ({ backend, family, protocol, to: backends[backend][family] })),
  ),
)

const packet = ({ family, protocol }: Cell, [from, fromPort, to, toPort]: Ends, options: object): Buffer =>
  packetOf(family, protocol, [from, to], [fromPort, toPort], options)

const canonical = ([from, fromPort, to, toPort]: Ends): readonly unknown[] =>
  [address(from), fromPort, address(to), toPort] // biome-ignore format: one line

/** How a packet ended, and what it looked like then. */
function assertJourney(journey: Journey, verdict: string, ends: Ends): void {
  assert.equal(journey.verdict, verdict)
  assert.deepEqual(read(journey), canonical(ends))
}

describe('Services without kube-proxy: every cell of processes of the node, and of clients outside the cluster', {
  skip,
}, () => {
  let side: ClientSide
  before(() => {
    side = openForClients()
  })
  beforeEach(() => reset(side.node))

  const fromTunnelOfPods = (bytes: Buffer): Journey => side.fromTunnel(bytes, { vni: 1, node: '172.18.0.4' })
  const toWorld = (bytes: Buffer): Journey => send(side.node, 'to_world', side.node.devices.world, bytes)

  /** How the packet of a process ends, and by which program the answer comes. */
  const ofProcesses: Readonly<Record<Backend, { verdict: string; back: (bytes: Buffer) => Journey }>> = {
    'a pod of this node': { verdict: 'SENT_TO_POD', back: (bytes) => side.fromEndpointPod(bytes) },
    'a pod of another node': { verdict: 'SENT_TO_NODE', back: fromTunnelOfPods },
    'a process of this node': { verdict: 'SENT_TO_POD', back: (bytes) => side.fromDevice(bytes) },
    'a process of another node': { verdict: 'SENT_TO_NODE', back: fromTunnelOfPods },
    'a server outside the cluster': { verdict: 'SENT_TO_WORLD_MASQUERADED', back: (bytes) => side.fromWorld(bytes) },
  } // biome-ignore format: rows

  /** The packet that the programs get. Only cluster IPs are routed into the device: to_world takes the others from the process. */
  function intoDevice(cell: Cell, door: Door, at: string, port: number): Buffer {
    const client = nodeClients[cell.family].address
    if (door === 'the cluster IP') return packet(cell, [client, clientPort, at, port], syn)
    const taken = side.fromProcess(packet(cell, [itself[cell.family], clientPort, at, port], syn))
    assertJourney(taken, 'SENT_TO_POD', [client, clientPort, at, port])
    return taken.out
  }

  for (const [door, { port, ...addresses }] of Object.entries(doors))
    for (const cell of cells) {
      const { backend, family, protocol, to } = cell
      const at = addresses[family]
      test(`a process of the node, ${protocol} over IPv${family} to ${door}: ${backend} gets the packet, and its answer comes from there`, async () => {
        await side.apply(servicesTo(backend))
        const { address: client, turned } = nodeClients[family]
        const there = side.fromDevice(intoDevice(cell, door as Door, at, port))
        const seen = { [masqueraded]: itself[family], 'a process of this node': turned }[backend as string] ?? client // biome-ignore format: one line
        const seenPort = backend === masqueraded ? Number(read(there)[1]) : clientPort
        assertJourney(there, ofProcesses[backend].verdict, [seen, seenPort, to, endpointPort])
        const back = ofProcesses[backend].back(packet(cell, [to, endpointPort, seen, seenPort], synAck))
        assertJourney(back, 'SENT_TO_POD', [at, port, client, clientPort])
        if (door === 'the cluster IP') return
        const arriving = side.toProcess(back.out)
        assertJourney(arriving, 'PASS_TO_STACK', [at, port, itself[family], clientPort])
      })
    }

  /** How a client's packet ends at the entry node, by which way the answer comes, and how that ends. */
  const ofClients: Readonly<Record<Backend, readonly [verdict: string, way: 'pod' | 'process' | 'tunnel' | 'device', leaves: string]>> = {
    'a pod of this node': ['SENT_TO_POD', 'pod', 'SENT_TO_WORLD'],
    'a pod of another node': ['SENT_TO_ENDPOINT', 'tunnel', 'SENT_FORWARDED'],
    'a process of this node': ['PASS_TO_HOST', 'process', 'PASS_REPLY'],
    'a process of another node': ['SENT_TO_ENDPOINT', 'tunnel', 'SENT_FORWARDED'],
    'a server outside the cluster': ['SENT_TO_ENDPOINT', 'device', 'SENT_TO_WORLD'],
  } // biome-ignore format: rows

  for (const [door, { port, ...addresses }] of Object.entries(doors))
    for (const cell of cells) {
      const { backend, family, protocol, to } = cell
      const [at, client] = [addresses[family], clientsOutside[family]]
      const call = (): Journey => side.fromWorld(packet(cell, [client, clientPort, at, port], syn))
      if (door === 'the cluster IP') {
        test(`a client outside, ${protocol} over IPv${family} to the cluster IP with the endpoint ${backend}: its packet is left as it is, because cluster IPs are not reached from outside`, async () => {
          await side.apply(servicesTo(backend))
          assertJourney(call(), 'PASS_NOT_OURS', [client, clientPort, at, port])
        })
        continue
      }
      const [verdict, way, leaves] = ofClients[backend]
      test(`a client outside, ${protocol} over IPv${family} to ${door}: ${backend} gets the packet, and its answer comes from there`, async () => {
        await side.apply(servicesTo(backend))
        const first = call()
        /* The endpoint's node translates. The program at the node's device translates what leaves the cluster. */
        const isTranslated = way === 'pod' || way === 'process'
        assertJourney(first, verdict, isTranslated ? [client, clientPort, to, endpointPort] : [client, clientPort, at, port]) // biome-ignore format: one line
        const answerFrom: Readonly<Record<typeof way, () => Journey>> = {
          pod: () => side.fromEndpointPod(packet(cell, [to, endpointPort, client, clientPort], synAck)),
          process: () => toWorld(packet(cell, [to, endpointPort, client, clientPort], synAck)),
          tunnel: () => side.fromTunnel(packet(cell, [at, port, client, clientPort], synAck), fromEndpoint),
          device: () => {
            const there = side.fromDevice(first.out)
            const taken = Number(read(there)[1])
            assertJourney(there, 'SENT_TO_WORLD_MASQUERADED', [itself[family], taken, to, endpointPort])
            return side.fromWorld(packet(cell, [to, endpointPort, itself[family], taken], synAck))
          },
        }
        assertJourney(answerFrom[way](), leaves, [at, port, client, clientPort])
      })
    }
})
