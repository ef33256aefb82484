import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { dissect } from './dissect.ts'
import { established, flowKey } from './flows.ts'
import { heardFromOutside } from './from-pod-cases.ts'
import {
  type Journey,
  mac,
  masqueradePorts,
  type NodeUnderTest,
  openNode,
  ourPorts,
  reset,
  send,
  skip,
} from './node-under-test.ts'
import { address, ipv4, ipv6 } from './packet.ts'

const syn = { flags: ['SYN'] } as const
const ack = { flags: ['ACK'] } as const
const overTunnel = { vni: 1, node: '172.18.0.4' } as const
const outside = '203.0.113.9'

/** Where the stack has translated a Service into an endpoint, and sends the packet out by the device to the world. */
describe('kube-proxy translates Services in the stack', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode({ services_by_stack: 1 })
  })
  beforeEach(() => reset(node))

  const fromPod = (packet: Buffer): Journey => send(node, 'from_pod', node.devices.pod7, packet)
  const toWorld = (packet: Buffer): Journey => send(node, 'to_world', node.devices.world, packet)
  const fromWorld = (packet: Buffer): Journey => send(node, 'from_world', node.devices.world, packet)
  const fromNode = (packet: Buffer): Journey =>
    send(node, 'from_overlay', node.devices.world, packet, overTunnel)

  test('what goes to a pod goes through the stack on its way, which may know it as an answer of a Service', () => {
    for (const [source, destinations] of [
      ['10.244.1.7', ['10.244.1.8', '10.244.2.9', '172.18.0.3', '172.18.0.4', '10.96.0.10']],
      ['fd00:1::7', ['fd00:1::8', 'fd00:2::9']],
    ] as const)
      for (const destination of destinations) {
        const ip = source.includes(':') ? ipv6 : ipv4
        const packet = ip(source, destination).tcp(8080, 40000, ack)
        const journey = fromPod(packet)
        assert.match(journey.verdict, /^PASS_TO_(STACK|HOST)$/, destination)
        assert.deepEqual(journey.out, packet)
      }
  })

  test('what comes out of the tunnel for a pod goes through the stack', () => {
    const packet = ipv4('10.244.2.9', '10.244.1.7').tcp(8080, 40000, ack)
    const journey = fromNode(packet)
    assert.equal(journey.verdict, 'PASS_TO_STACK')
    assert.deepEqual(journey.out, packet)
  })

  test('neighbour discovery does not reach another pod', () => {
    const advertisement = ipv6('fd00:1::7', 'fd00:1::8', { timeToLive: 255 }).raw(
      58,
      Buffer.from([136, 0, 0, 0, 0, 0, 0, 0]),
    )
    assert.equal(fromPod(advertisement).verdict, 'DROP_UNSUPPORTED_PROTOCOL')
  })

  test('an endpoint outside gets the packet from the egress IP, by the holder', () => {
    const journey = toWorld(ipv4('10.244.1.7', outside).tcp(40000, 443, syn))
    assert.equal(journey.verdict, 'SENT_TO_HOLDER')
    const { source, destination, sourcePort, wrongChecksums } = dissect(journey.out)
    assert.deepEqual([source, destination, wrongChecksums], [address('172.18.0.42'), address(outside), []])
    assert.ok(sourcePort !== undefined && sourcePort >= ourPorts.first && sourcePort <= ourPorts.last)
  })

  test('an endpoint outside gets the packet from the egress IP that this node holds', () => {
    const journey = toWorld(ipv4('10.244.1.7', '198.51.100.9').tcp(40000, 443, syn))
    assert.equal(journey.verdict, 'SENT_TO_WORLD')
    const { source, destinationMac } = dissect(journey.out)
    assert.deepEqual([source, destinationMac], [address('172.18.0.43'), mac.router])
  })

  test('the replies go back to the stack as for the pod, which the stack then translates', () => {
    for (const [far, egressIp] of [
      [outside, '172.18.0.42'],
      ['198.51.100.9', '172.18.0.43'],
    ] as const) {
      const { out } = toWorld(ipv4('10.244.1.7', far).tcp(40000, 443, syn))
      const port = dissect(out).sourcePort ?? 0
      const reply = ipv4(far, egressIp).tcp(443, port, { flags: ['SYN', 'ACK'] })
      const journey =
        far === outside
          ? send(node, 'from_overlay', node.devices.world, reply, { ...overTunnel, vni: 3 })
          : fromWorld(reply)
      assert.equal(journey.verdict, 'PASS_TO_STACK', far)
      const { source, destination, destinationPort, wrongChecksums } = dissect(journey.out)
      assert.deepEqual(
        [source, destination, destinationPort, wrongChecksums],
        [address(far), address('10.244.1.7'), 40000, []],
      )
    }
  })

  test('IPv6 too', () => {
    const { out, verdict } = toWorld(ipv6('fd00:1::7', '2001:db8:eeee::9').tcp(40000, 443, syn))
    assert.equal(verdict, 'SENT_TO_WORLD')
    const { source, sourcePort = 0 } = dissect(out)
    assert.equal(source, address('2001:db8::43'))
    const reply = ipv6('2001:db8:eeee::9', '2001:db8::43').tcp(443, sourcePort, ack)
    assert.equal(fromWorld(reply).verdict, 'PASS_TO_STACK')
  })

  test('the replies of a flow that the pod opened itself go straight to the pod', () => {
    established()(node)
    const reply = ipv4(outside, '172.18.0.42').tcp(443, ourPorts.first, ack)
    assert.equal(fromWorld(reply).verdict, 'SENT_TO_POD')
  })

  test("a pod that no policy selects leaves with the node's address, and gets its replies by the stack", () => {
    const { out, verdict } = toWorld(ipv4('10.244.1.8', outside).tcp(40000, 443, syn))
    assert.equal(verdict, 'SENT_TO_WORLD_MASQUERADED')
    const { source, sourcePort = 0 } = dissect(out)
    assert.equal(source, address('172.18.0.3'))
    assert.ok(sourcePort >= masqueradePorts.first && sourcePort <= masqueradePorts.last)
    assert.equal(fromWorld(ipv4(outside, '172.18.0.3').tcp(443, sourcePort, ack)).verdict, 'PASS_TO_STACK')
  })

  test('a destination that a policy drops is dropped behind a Service too', () => {
    for (const [destination, verdict] of [
      ['192.0.2.40', 'DROP_NETWORK_POLICY'],
      ['192.0.2.70', 'DROP_NO_GATEWAY'],
    ] as const)
      assert.equal(toWorld(ipv4('10.244.1.7', destination).tcp(40000, 443, syn)).verdict, verdict)
  })

  test('an endpoint on another node gets the packet through the tunnel, as from the pod itself', () => {
    const journey = toWorld(ipv4('10.244.1.7', '172.18.0.4').tcp(40000, 6443, syn))
    assert.equal(journey.verdict, 'SENT_TO_NODE')
    assert.equal(dissect(journey.out).source, address('10.244.1.7'))
  })

  test("no Service gives a pod's datagram to a node's tunnel", () => {
    node.datapath.tables.cluster.delete('172.18.0.4/32' as never)
    assert.equal(toWorld(ipv4('10.244.1.7', '172.18.0.9').udp(40000, 8472)).verdict, 'DROP_TUNNEL_PORT')
  })

  test("what is no pod's is left alone", () => {
    for (const packet of [
      ipv4('172.18.0.3', outside).tcp(40000, 443, syn),
      ipv4('172.18.0.42', outside).tcp(ourPorts.first, 443, syn),
    ]) {
      const journey = toWorld(packet)
      assert.equal(journey.verdict, 'PASS_NOT_OURS')
      assert.deepEqual(journey.out, packet)
    }
  })

  test('a pod of another node does not leave here, whose policies this node does not know', () => {
    const packet = ipv4('10.244.2.9', outside).tcp(40000, 443, syn)
    assert.equal(toWorld(packet).verdict, 'DROP_UNKNOWN_POD')
  })

  test('a pod that sends to the endpoint itself gets its replies without the stack', () => {
    const { out } = toWorld(ipv4('10.244.1.7', '198.51.100.9').udp(40000, 53))
    const reply = ipv4('198.51.100.9', '172.18.0.43').udp(53, dissect(out).sourcePort ?? 0)
    assert.equal(fromWorld(reply).verdict, 'PASS_TO_STACK')
    fromPod(ipv4('10.244.1.7', '198.51.100.9').udp(40000, 53))
    assert.equal(fromWorld(reply).verdict, 'SENT_TO_POD')
  })

  test('a pod whose policies are not known yet sends nothing', () => {
    assert.equal(toWorld(ipv4('10.244.1.9', outside).tcp(40000, 443, syn)).verdict, 'DROP_UNKNOWN_POD')
  })

  test('a reply to a connection from outside keeps its address', async () => {
    await heardFromOutside({ sourcePort: 80, destinationPort: 5000 }, 1n)(node)
    assert.equal(toWorld(ipv4('10.244.1.7', outside).tcp(80, 5000, ack)).verdict, 'PASS_REPLY')
  })

  test('a packet in the middle of an unknown connection is dropped', () => {
    assert.equal(toWorld(ipv4('10.244.1.7', outside).tcp(40000, 443, ack)).verdict, 'DROP_NO_MAPPING')
  })

  test('a packet that is too big for the tunnel comes back in as an answer of its endpoint', () => {
    const packet = ipv4('10.244.1.7', outside, { dontFragment: true }).udp(40000, 443, Buffer.alloc(1423))
    const journey = toWorld(packet)
    assert.equal(journey.verdict, 'SENT_TOO_BIG')
    const { source, destination, icmpType } = dissect(journey.out)
    assert.deepEqual([source, destination, icmpType], [address(outside), address('10.244.1.7'), 3])
  })

  test('the mapping says by which way its replies go', () => {
    toWorld(ipv4('10.244.1.7', outside).tcp(40000, 443, syn))
    fromPod(ipv4('10.244.1.7', outside).tcp(40001, 443, syn))
    const through = (sourcePort: number): boolean | undefined =>
      node.datapath.tables.mappings.get(flowKey({ sourcePort }))?.through_stack
    assert.deepEqual([through(40000), through(40001)], [true, false])
  })
})
