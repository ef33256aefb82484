import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import type { Desired } from '../../src/datapath/desired.ts'
import { dissect } from './dissect.ts'
import {
  type Journey,
  type NodeUnderTest,
  openNode,
  reset,
  send,
  skip,
  standardTables,
} from './node-under-test.ts'
import { address, ipv4, ipv6, protocolNumber } from './packet.ts'

const syn = { flags: ['SYN'] } as const
const ack = { flags: ['ACK'] } as const
const tcp = 6
const udp = 17
const ports = { address: address('10.96.0.7'), affinityMs: 0, leaving: [] }
const selected = { address: address('203.0.113.9'), port: 8443 }
const alsoSelected = { address: address('203.0.113.10'), port: 8443 }
const excluded = { address: address('192.0.2.9'), port: 8443 }

/** 10.96.0.7 leads to servers that a policy of the pod 10.244.1.7 selects, 10.96.0.8 to one that it excludes. */
const services: Desired['services'] = [
  { ...ports, port: 443, protocol: tcp, endpoints: [excluded, selected] },
  { ...ports, port: 53, protocol: udp, endpoints: [{ ...selected, port: 5353 }] },
  { ...ports, port: 0, protocol: 0, endpoints: [selected] },
  { ...ports, address: address('10.96.0.8'), port: 443, protocol: tcp, endpoints: [excluded] },
  { ...ports, address: address('fd00:96::7'), port: 443, protocol: tcp, endpoints: [{ address: address('2001:db8:ffff::9'), port: 8443 }] }, // biome-ignore format: one row
]

describe('a Service that leads out of the cluster, in chained mode', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode({ chained: 1 })
  })
  const apply = (wanted: Desired['services']): Promise<unknown> =>
    node.datapath.apply({ ...standardTables(node), services: wanted })
  beforeEach(async () => {
    await reset(node)
    await apply(services)
  })

  const fromPod = (packet: Buffer): Journey => send(node, 'from_pod', node.devices.pod7, packet)
  const fromGateway = (packet: Buffer): Journey =>
    send(node, 'from_overlay', node.devices.world, packet, { vni: 3, node: '172.18.0.4' })
  const ends = ({ out }: Journey) => {
    const { source, destination, sourcePort, destinationPort, wrongChecksums } = dissect(out)
    assert.deepEqual(wrongChecksums, [])
    return { source, destination, sourcePort, destinationPort }
  }

  test('the pod’s packet leaves for an endpoint that the policy selects, from the egress IP', () => {
    const journey = fromPod(ipv4('10.244.1.7', '10.96.0.7').tcp(40000, 443, syn))
    assert.equal(journey.verdict, 'SENT_TO_HOLDER')
    const { source, destination, destinationPort } = ends(journey)
    assert.deepEqual([source, destination, destinationPort], [address('172.18.0.42'), selected.address, 8443])
  })

  test('the reply comes from the Service', () => {
    const { sourcePort = 0 } = ends(fromPod(ipv4('10.244.1.7', '10.96.0.7').tcp(40000, 443, syn)))
    const journey = fromGateway(
      ipv4('203.0.113.9', '172.18.0.42').tcp(8443, sourcePort, { flags: ['SYN', 'ACK'] }),
    )
    assert.equal(journey.verdict, 'SENT_TO_POD')
    assert.deepEqual(ends(journey), {
      source: ports.address, destination: address('10.244.1.7'), sourcePort: 443, destinationPort: 40000,
    }) // biome-ignore format: one row
  })

  test('so it is with UDP and with IPv6', () => {
    const question = fromPod(ipv4('10.244.1.7', '10.96.0.7').udp(40000, 53))
    assert.deepEqual([ends(question).destination, ends(question).destinationPort], [selected.address, 5353])
    const answer = fromGateway(ipv4('203.0.113.9', '172.18.0.42').udp(5353, ends(question).sourcePort ?? 0))
    assert.deepEqual([ends(answer).source, ends(answer).sourcePort], [ports.address, 53])
    const opening = fromPod(ipv6('fd00:1::7', 'fd00:96::7').tcp(40000, 443, syn))
    assert.deepEqual(ends(opening).destination, address('2001:db8:ffff::9'))
    const opened = fromGateway(
      ipv6('2001:db8:ffff::9', '2001:db8::42').tcp(8443, ends(opening).sourcePort ?? 0, ack),
    )
    assert.deepEqual(ends(opened).source, address('fd00:96::7'))
  })

  test('a connection keeps its endpoint when others come, also when it is not ready any more', async () => {
    fromPod(ipv4('10.244.1.7', '10.96.0.7').tcp(40000, 443, syn))
    await apply([{ ...ports, port: 443, protocol: tcp, endpoints: [alsoSelected] }])
    const established = fromPod(ipv4('10.244.1.7', '10.96.0.7').tcp(40000, 443, ack))
    assert.equal(ends(established).destination, selected.address)
    const another = fromPod(ipv4('10.244.1.7', '10.96.0.7').tcp(40001, 443, syn))
    assert.equal(ends(another).destination, alsoSelected.address)
  })

  test('the second SYN of a connection goes where the first went', async () => {
    await apply([{ ...ports, port: 443, protocol: tcp, endpoints: [selected, alsoSelected] }])
    for (let port = 40000; port < 40010; port++) {
      const packet = ipv4('10.244.1.7', '10.96.0.7').tcp(port, 443, syn)
      assert.deepEqual(ends(fromPod(packet)), ends(fromPod(packet)))
    }
  })

  test('a datagram goes to another endpoint when its own is gone', async () => {
    fromPod(ipv4('10.244.1.7', '10.96.0.7').udp(40000, 53))
    await apply([{ ...ports, port: 53, protocol: udp, endpoints: [{ ...alsoSelected, port: 5353 }] }])
    assert.equal(
      ends(fromPod(ipv4('10.244.1.7', '10.96.0.7').udp(40000, 53))).destination,
      alsoSelected.address,
    )
  })

  test('new connections use all endpoints, or one of them for each client', async () => {
    const seen = (): number => {
      const found = new Set<unknown>()
      for (let port = 40000; port < 40014; port++)
        found.add(ends(fromPod(ipv4('10.244.1.7', '10.96.0.7').tcp(port, 443, syn))).destination)
      return found.size
    }
    const both = { ...ports, port: 443, protocol: tcp, endpoints: [selected, alsoSelected] }
    await apply([both])
    assert.equal(seen(), 2)
    await reset(node)
    await apply([{ ...both, affinityMs: 10_800_000 }])
    assert.equal(seen(), 1)
  })

  test('what no policy of the pod selects is kube-proxy’s', () => {
    for (const packet of [
      ipv4('10.244.1.7', '10.96.0.8').tcp(40000, 443, syn),
      ipv4('10.244.1.7', '10.96.0.7').tcp(40000, 444, syn),
      ipv4('10.244.1.7', '10.96.0.9').tcp(40000, 443, syn),
    ]) {
      const journey = fromPod(packet)
      assert.equal(journey.verdict, 'PASS_TO_STACK')
      assert.deepEqual(journey.out, packet)
    }
    const unselected = ipv4('10.244.1.8', '10.96.0.7').tcp(40000, 443, syn)
    assert.equal(send(node, 'from_pod', node.devices.pod8, unselected).verdict, 'PASS_TO_STACK')
  })

  test('a connection that kube-proxy has stays there, and a packet of an unknown one does not leave', () => {
    const packet = ipv4('10.244.1.7', '10.96.0.7').tcp(40000, 443, ack)
    assert.equal(fromPod(packet).verdict, 'DROP_NO_MAPPING')
    const delivered = ipv4('10.96.0.7', '10.244.1.7').tcp(443, 40000, ack)
    assert.equal(send(node, 'to_pod', node.devices.pod7, delivered).verdict, 'PASS_TO_STACK')
    assert.equal(fromPod(packet).verdict, 'PASS_REPLY')
  })

  test('ICMP errors about the flow name the Service to the pod, and the endpoint to the world', () => {
    const { sourcePort = 0 } = ends(fromPod(ipv4('10.244.1.7', '10.96.0.7').udp(40000, 53)))
    const sent = ipv4('172.18.0.42', '203.0.113.9').udp(sourcePort, 5353)
    const error = fromGateway(ipv4('192.0.2.1', '172.18.0.42').error('unreachable', sent))
    assert.equal(error.verdict, 'SENT_TO_POD')
    const { about, source, wrongChecksums } = dissect(error.out)
    assert.deepEqual([source, wrongChecksums], [address('192.0.2.1'), []])
    assert.deepEqual([about?.source, about?.destination, about?.destinationPort], [address('10.244.1.7'), ports.address, 53]) // biome-ignore format: one row

    const answer = ipv4('10.96.0.7', '10.244.1.7').udp(53, 40000)
    const refused = fromPod(ipv4('10.244.1.7', '10.96.0.7').error('unreachable', answer))
    assert.equal(refused.verdict, 'SENT_TO_HOLDER')
    const out = dissect(refused.out)
    assert.deepEqual([out.destination, out.wrongChecksums], [selected.address, []])
    assert.deepEqual([out.about?.source, out.about?.sourcePort, out.about?.destinationPort], [selected.address, 5353, sourcePort]) // biome-ignore format: one row
  })

  test('a packet that is too big for the tunnel is answered as the pod has sent it', () => {
    const big = ipv4('10.244.1.7', '10.96.0.7', { dontFragment: true }).udp(40000, 53, Buffer.alloc(1450))
    const journey = fromPod(big)
    assert.equal(journey.verdict, 'SENT_TOO_BIG')
    const { about, source } = dissect(journey.out)
    assert.deepEqual([source, about?.destination, about?.destinationPort], [ports.address, ports.address, 53])
  })

  test('SCTP, which kube-proxy would translate, does not leave', () => {
    const packet = ipv4('10.244.1.7', '10.96.0.7').raw(protocolNumber.sctp, Buffer.alloc(12))
    assert.equal(fromPod(packet).verdict, 'DROP_UNSUPPORTED_PROTOCOL')
  })

  test('a pod that speaks to the endpoint itself gets replies from the endpoint', () => {
    fromPod(ipv4('10.244.1.7', '10.96.0.7').tcp(40000, 443, syn))
    const direct = ends(fromPod(ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 8443, syn)))
    const reply = fromGateway(ipv4('203.0.113.9', '172.18.0.42').tcp(8443, direct.sourcePort ?? 0, ack))
    assert.deepEqual([ends(reply).source, ends(reply).sourcePort], [selected.address, 8443])
  })

  test('no Service gives a pod’s datagram to a tunnel, with the address of a gateway', async () => {
    await apply([{ ...ports, port: 53, protocol: udp, endpoints: [{ ...selected, port: 8472 }] }])
    assert.equal(fromPod(ipv4('10.244.1.7', '10.96.0.7').udp(40000, 53)).verdict, 'DROP_TUNNEL_PORT')
  })

  test('an endpoint without a live gateway is a drop', async () => {
    const tables = standardTables(node)
    await node.datapath.apply({ ...tables, services, groups: new Map() })
    assert.equal(fromPod(ipv4('10.244.1.7', '10.96.0.7').tcp(40000, 443, syn)).verdict, 'DROP_NO_GATEWAY')
  })
})
