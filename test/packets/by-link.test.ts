import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import type { Desired } from '../../src/datapath/desired.ts'
import { findDevice } from '../../src/linux/devices.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { macBytes } from '../../src/net/mac.ts'
import { dissect } from './dissect.ts'
import { established } from './flows.ts'
import {
  type NodeUnderTest,
  openNode,
  ourPorts,
  reset,
  send,
  skip,
  slot2Port,
  standardTables,
} from './node-under-test.ts'
import { address, ipv4, ipv6 } from './packet.ts'

const node2 = { address: address('172.18.0.4'), mac: '02:00:00:00:04:01' } as const
const node3 = { address: address('172.18.0.5'), mac: '02:00:00:00:05:01' } as const
const stranger = '02:00:00:00:99:01'
const placeholder = '192.0.0.8'
const probePort = 9
const answered = 10

describe('nodes that share a link send each other translated packets without a tunnel', { skip }, () => {
  let node: NodeUnderTest
  let ownMac: string
  before(() => {
    node = openNode({ link_path: 1 })
    using netlink = new Netlink()
    ownMac = findDevice(netlink, 'world')?.mac ?? ''
  })
  beforeEach(() => reset(node).then(() => node.datapath.apply(tables())))

  const tables = (): Desired => ({
    ...standardTables(node),
    links: new Map(
      [node2, node3].map(({ address: of, mac }) => [
        of,
        { answeredNs: 0n, probeSource: undefined, ifindex: node.devices.world, mtu: 1500, mac, ownMac },
      ]),
    ),
    linkMacs: new Map([node2, node3].map(({ address: of, mac }) => [mac, of])),
  })
  const link = (of: typeof node2 | typeof node3) => node.datapath.tables.links.get(of.address)
  const answeredAt = (of: typeof node2 | typeof node3, msAgo: number): void => {
    const entry = link(of)
    assert.ok(entry)
    node.datapath.tables.links.set(of.address, {
      ...entry,
      answeredNs: process.hrtime.bigint() - BigInt(msAgo) * 1_000_000n,
    })
  }
  const isAnswered = (of: typeof node2): boolean => (link(of)?.answeredNs ?? 0n) > 0n
  const framed = (packet: Buffer, source: string, destination = ownMac): Buffer =>
    Buffer.concat([macBytes(destination), macBytes(source), packet.subarray(12)])
  const fromPod = (packet: Buffer) => send(node, 'from_pod', node.devices.pod7, packet)
  const fromLink = (packet: Buffer, source: string, destination?: string) =>
    send(node, 'from_world', node.devices.world, framed(packet, source, destination))
  const macsOf = (frame: Buffer): string => frame.subarray(0, 12).toString('hex')
  const between = (destination: string, source: string): string =>
    Buffer.concat([macBytes(destination), macBytes(source)]).toString('hex')
  const syn = { flags: ['SYN'] } as const
  const alive = (): void =>
    node.datapath.tables.liveness.set(0, {
      alive_until_ns: process.hrtime.bigint() * 2n,
      probing_until_ns: 0n,
    })

  describe('a pod’s packet to a gateway on the link', () => {
    test('goes to the gateway’s MAC, translated, and its TTL stays', () => {
      answeredAt(node2, 100)
      const { verdict, out } = fromPod(ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, syn))
      assert.equal(verdict, 'SENT_TO_HOLDER_BY_LINK')
      assert.equal(macsOf(out), between(node2.mac, ownMac))
      const { source, timeToLive, wrongChecksums } = dissect(out)
      assert.deepEqual(
        { source, timeToLive, wrongChecksums },
        { source: '172.18.0.42', timeToLive: 64, wrongChecksums: [] },
      )
    })

    test('goes there in IPv6, too', () => {
      answeredAt(node2, 100)
      const { verdict, out } = fromPod(ipv6('fd00:1::7', '2001:db8:ffff::9').tcp(40000, 443, syn))
      assert.equal(verdict, 'SENT_TO_HOLDER_BY_LINK')
      assert.equal(dissect(out).source, '2001:db8::42')
    })

    test('takes the tunnel if the link was never answered, or not lately, and the flow keeps its port', () => {
      const packet = (): Buffer => ipv4('10.244.1.7', '203.0.113.9').udp(40000, 443)
      const first = fromPod(packet())
      assert.equal(first.verdict, 'SENT_TO_HOLDER')
      answeredAt(node2, 100)
      const second = fromPod(packet())
      assert.equal(second.verdict, 'SENT_TO_HOLDER_BY_LINK')
      answeredAt(node2, 400)
      const third = fromPod(packet())
      assert.equal(third.verdict, 'SENT_TO_HOLDER')
      const ports = [first, second, third].map(({ out }) => dissect(out).sourcePort)
      assert.deepEqual(new Set(ports).size, 1)
    })

    test('may have the MTU of the link, and is answered with it if it is bigger', () => {
      answeredAt(node2, 100)
      const send = (length: number) =>
        fromPod(
          ipv4('10.244.1.7', '203.0.113.9', { dontFragment: true }).udp(
            40000,
            443,
            Buffer.alloc(length - 28),
          ),
        )
      assert.equal(send(1500).verdict, 'SENT_TO_HOLDER_BY_LINK')
      const { verdict, out } = send(1501)
      assert.equal(verdict, 'SENT_TOO_BIG')
      assert.equal(out.readUInt16BE(14 + 20 + 6), 1500)
    })

    test('takes the tunnel if the kernel has to fragment it', () => {
      answeredAt(node2, 100)
      const packet = ipv4('10.244.1.7', '203.0.113.9').udp(40000, 443, Buffer.alloc(1600))
      assert.equal(fromPod(packet).verdict, 'SENT_TO_HOLDER')
    })
  })

  describe('a gateway gets a packet by the link', () => {
    const outward = (port: number, destination = '203.0.113.9') =>
      ipv4('172.18.0.43', destination).tcp(port, 443, syn)

    test('and forwards it as one from the tunnel', () => {
      const { verdict, out } = fromLink(outward(slot2Port), node2.mac)
      assert.equal(verdict, 'SENT_FORWARDED')
      const { source, sourcePort, timeToLive, wrongChecksums } = dissect(out)
      assert.deepEqual(
        { source, sourcePort, timeToLive, wrongChecksums },
        { source: '172.18.0.43', sourcePort: slot2Port, timeToLive: 63, wrongChecksums: [] },
      )
    })

    test('and drops it if no node has the MAC', () =>
      assert.equal(fromLink(outward(slot2Port), stranger).verdict, 'DROP_UNKNOWN_NODE'))

    test('and drops it if the port is not the sender’s', () => {
      assert.equal(fromLink(outward(slot2Port), node3.mac).verdict, 'DROP_NOT_THE_OWNER')
      assert.equal(fromLink(outward(ourPorts.first), node2.mac).verdict, 'DROP_NOT_THE_OWNER')
      assert.equal(fromLink(outward(443), node2.mac).verdict, 'DROP_NOT_THE_OWNER')
    })

    test('and leaves a frame for another host alone', () =>
      assert.equal(fromLink(outward(slot2Port), node2.mac, stranger).verdict, 'PASS_NOT_OURS'))

    test('and turns it back if it is for a pod’s port', () => {
      established({ egressIp: '172.18.0.43', destination: '172.18.0.43', destinationPort: slot2Port })(node)
      const packet = ipv4('172.18.0.43', '172.18.0.43').tcp(slot2Port, ourPorts.first, { flags: ['ACK'] })
      assert.equal(fromLink(packet, node2.mac).verdict, 'SENT_TO_POD')
    })

    test('a node’s own packets to this node are the stack’s, also from an address that is an egress IP', () =>
      assert.equal(fromLink(outward(slot2Port, '172.18.0.3'), node2.mac).verdict, 'PASS_NOT_OURS'))

    test('a gateway that is a router, too, may send here what it has forwarded', () => {
      const packet = ipv4('172.18.0.42', '203.0.113.9').tcp(ourPorts.first, 443, syn)
      assert.equal(fromLink(packet, node2.mac).verdict, 'PASS_NOT_OURS')
      assert.equal(fromLink(packet, node3.mac).verdict, 'DROP_NOT_THE_OWNER')
    })
  })

  describe('what returns from the world', () => {
    const back = (length = 100) =>
      ipv4('203.0.113.9', '172.18.0.43', { dontFragment: true }).udp(
        443,
        slot2Port,
        Buffer.alloc(length - 28),
      )

    test('goes to the MAC of the node that owns the port', () => {
      answeredAt(node2, 100)
      const packet = back()
      const { verdict, out } = fromLink(packet, stranger)
      assert.equal(verdict, 'SENT_TO_OWNER_BY_LINK')
      assert.equal(macsOf(out), between(node2.mac, ownMac))
      assert.deepEqual(out.subarray(14), packet.subarray(14))
    })

    test('takes the tunnel if the link is not answered, with the tunnel’s MTU', () => {
      assert.equal(fromLink(back(), stranger).verdict, 'SENT_TO_OWNER')
      assert.equal(fromLink(back(1500), stranger).verdict, 'SENT_TOO_BIG')
      answeredAt(node2, 100)
      assert.equal(fromLink(back(1500), stranger).verdict, 'SENT_TO_OWNER_BY_LINK')
    })

    test('does not go back and forth between two nodes that disagree about its owner', () => {
      answeredAt(node2, 100)
      const packet = (destination: string) => ipv4('203.0.113.9', destination).udp(443, slot2Port)
      assert.equal(fromLink(packet('172.18.0.42'), node2.mac).verdict, 'DROP_LOOP')
      assert.equal(fromLink(packet('172.18.0.42'), node3.mac).verdict, 'SENT_TO_OWNER_BY_LINK')
      assert.equal(fromLink(packet('172.18.0.42'), stranger).verdict, 'SENT_TO_OWNER_BY_LINK')
    })
  })

  describe('the MSS of a connection by the link', () => {
    const request = (fields: Parameters<ReturnType<typeof ipv4>['tcp']>[2]) =>
      ipv4('10.244.1.7', '203.0.113.9', { dontFragment: true }).tcp(40000, 443, fields)
    const answer = { flags: ['SYN', 'ACK'], mss: 1460 } as const

    test('is the server’s for the pod, and the tunnel’s for the server', () => {
      answeredAt(node2, 100)
      const { out } = fromPod(request({ ...syn, mss: 1460 }))
      const { mss, sourcePort = 0 } = dissect(out)
      assert.equal(mss, 1410)
      const back = ipv4('203.0.113.9', '172.18.0.42').tcp(443, sourcePort, answer)
      const { verdict, out: delivered } = fromLink(back, node2.mac)
      assert.deepEqual([verdict, dissect(delivered).mss], ['SENT_TO_POD', 1460])
    })

    test('is too large for the tunnel, and the pod learns it from the first segment that has to take it', () => {
      established()(node)
      const segment = request({ flags: ['ACK'], payload: 'x'.repeat(1460) })
      answeredAt(node2, 100)
      assert.equal(fromPod(segment).verdict, 'SENT_TO_HOLDER_BY_LINK')
      answeredAt(node2, 400)
      const { verdict, out } = fromPod(segment)
      assert.deepEqual([verdict, out.readUInt16BE(14 + 20 + 6)], ['SENT_TOO_BIG', 1450])
    })
  })

  describe('a probe on the link', () => {
    const probe = (port: number = probePort) => ipv4('172.18.0.43', placeholder).udp(port, probePort)

    test('is answered as the world answers, while the agent is alive', () => {
      alive()
      const { verdict, out } = fromLink(probe(), node2.mac)
      assert.equal(verdict, 'SENT_PROBE_ANSWER')
      assert.equal(macsOf(out), between(node2.mac, ownMac))
      const { source, destination, wrongChecksums } = dissect(out)
      assert.deepEqual(
        { source, destination, wrongChecksums },
        { source: placeholder, destination: '172.18.0.43', wrongChecksums: [] },
      )
      assert.equal(isAnswered(node2), false)
    })

    test('in IPv6 is answered, too', () => {
      alive()
      const { verdict, out } = fromLink(ipv6('2001:db8::43', '100::8').udp(probePort, probePort), node2.mac)
      assert.equal(verdict, 'SENT_PROBE_ANSWER')
      const { source, destination, wrongChecksums } = dissect(out)
      assert.deepEqual(
        { source, destination, wrongChecksums },
        { source: '100::8', destination: '2001:db8::43', wrongChecksums: [] },
      )
    })

    test('from an egress IP that this node does not know is answered, because the MAC says which node asks', () => {
      alive()
      const unknown = ipv4('172.18.0.99', placeholder).udp(answered, probePort)
      assert.equal(fromLink(unknown, node2.mac).verdict, 'SENT_PROBE_ANSWER')
      assert.equal(isAnswered(node2), true)
      assert.equal(fromLink(unknown, stranger).verdict, 'PASS_NOT_OURS')
    })

    test('is not answered without an agent', () =>
      assert.equal(fromLink(probe(), node2.mac).verdict, 'TAKEN_PROBE_ANSWER'))

    test('says that answers arrive, and so opens the way back', () => {
      alive()
      fromLink(probe(answered), node2.mac)
      assert.equal(isAnswered(node2), true)
    })

    test('of a stranger is not answered, and proves nothing', () => {
      alive()
      assert.equal(fromLink(probe(answered), stranger).verdict, 'DROP_UNKNOWN_NODE')
      const answer = ipv4(placeholder, '172.18.0.42').udp(probePort, probePort)
      assert.equal(fromLink(answer, stranger).verdict, 'DROP_UNKNOWN_NODE')
      assert.equal(isAnswered(node2), false)
    })

    test('that was answered proves the way to the gateway', () => {
      const answer = ipv4(placeholder, '172.18.0.42').udp(probePort, probePort)
      assert.equal(fromLink(answer, node2.mac).verdict, 'TAKEN_PROBE_ANSWER')
      assert.equal(isAnswered(node2), true)
    })

    test('that was answered shows that the gateway is reachable, although the tunnel is silent', () => {
      const { probed_gateways: probed } = node.datapath.tables
      probed.set(node2.address, { answered_ns: 1n, refused_ns: 0n, flapping_until_ns: 0n })
      fromLink(ipv4(placeholder, '172.18.0.42').udp(probePort, probePort), node2.mac)
      assert.ok((probed.get(node2.address)?.answered_ns ?? 0n) > 1n)
    })
  })
})
