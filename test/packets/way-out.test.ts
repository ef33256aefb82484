import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { setDevice } from '../../src/linux/devices.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { type Dissected, dissect } from './dissect.ts'
import { established } from './flows.ts'
import { mac, type NodeUnderTest, openNode, reset, send, skip, slot2Port } from './node-under-test.ts'
import { address, ipv4, ipv6 } from './packet.ts'

interface Case {
  readonly name: string
  readonly program: 'from_pod' | 'from_overlay'
  readonly packet: Buffer
  readonly verdict: string
  readonly out?: Partial<Dissected>
}

const whole = { dontFragment: true }
const syn = { flags: ['SYN'], mss: 1460 } as const
const pod = (destination: string, fields = {}) => ipv4('10.244.1.7', destination, fields)
const outward = (fields = {}) => ipv4('172.18.0.43', '203.0.113.9', fields)

/* The world's device carries 1400 bytes, the tunnel 1450. */
const cases: readonly Case[] = [
  {
    name: 'as big as the way out',
    program: 'from_pod',
    packet: pod('198.51.100.9', whole).udp(40000, 53, Buffer.alloc(1372)),
    verdict: 'SENT_TO_WORLD',
    out: { length: 1400 },
  },
  {
    name: 'too big for it: the sender is told, in the name of the destination, of the packet as it knows it',
    program: 'from_pod',
    packet: pod('198.51.100.9', whole).udp(40000, 53, Buffer.alloc(1373)),
    verdict: 'SENT_TOO_BIG',
    out: {
      source: address('198.51.100.9'), destination: address('10.244.1.7'), icmpType: 3, mtu: 1400,
      about: { source: address('10.244.1.7'), destination: address('198.51.100.9'), protocol: 17, timeToLive: 64, length: 1401, sourcePort: 40000, destinationPort: 53 },
    }, // biome-ignore format: nested
  },
  {
    name: 'the same in IPv6',
    program: 'from_pod',
    packet: ipv6('fd00:1::7', '2001:db8:eeee::9').udp(40000, 53, Buffer.alloc(1353)),
    verdict: 'SENT_TOO_BIG',
    out: { source: address('2001:db8:eeee::9'), destination: address('fd00:1::7'), icmpType: 2, mtu: 1400 },
  },
  {
    name: 'the same with the node’s address',
    program: 'from_pod',
    packet: pod('192.0.2.9', whole).udp(40000, 53, Buffer.alloc(1373)),
    verdict: 'SENT_TOO_BIG',
    out: { source: address('192.0.2.9'), mtu: 1400 },
  },
  {
    name: 'one that may be fragmented: nobody here does it, and its sender does not ask',
    program: 'from_pod',
    packet: pod('198.51.100.9').udp(40000, 53, Buffer.alloc(1373)),
    verdict: 'DROP_TOO_BIG',
  },
  {
    name: 'at the gateway: the answer goes to the source node, for the egress IP',
    program: 'from_overlay',
    packet: outward(whole).udp(slot2Port, 443, Buffer.alloc(1373)),
    verdict: 'SENT_TOO_BIG',
    out: {
      destinationMac: mac.overlay, source: address('203.0.113.9'), destination: address('172.18.0.43'), icmpType: 3, mtu: 1400,
      about: { source: address('172.18.0.43'), destination: address('203.0.113.9'), protocol: 17, timeToLive: 64, length: 1401, sourcePort: slot2Port, destinationPort: 443 },
    }, // biome-ignore format: nested
  },
  {
    name: 'at the gateway, in IPv6',
    program: 'from_overlay',
    packet: ipv6('2001:db8::43', '2001:db8:eeee::9').udp(slot2Port, 443, Buffer.alloc(1353)),
    verdict: 'SENT_TOO_BIG',
    out: { destinationMac: mac.overlay, destination: address('2001:db8::43'), icmpType: 2, mtu: 1400 },
  },
  {
    name: 'at the gateway, one that may be fragmented',
    program: 'from_overlay',
    packet: outward().udp(slot2Port, 443, Buffer.alloc(1373)),
    verdict: 'DROP_TOO_BIG',
  },
  {
    name: 'the MSS of a SYN is lowered to the way out',
    program: 'from_pod',
    packet: pod('198.51.100.9').tcp(40000, 443, syn),
    verdict: 'SENT_TO_WORLD',
    out: { mss: 1360 },
  },
  {
    name: 'also with the node’s address, for which there is no tunnel',
    program: 'from_pod',
    packet: pod('192.0.2.9').tcp(40000, 443, syn),
    verdict: 'SENT_TO_WORLD_MASQUERADED',
    out: { mss: 1360 },
  },
  {
    name: 'and at the gateway',
    program: 'from_overlay',
    packet: outward().tcp(slot2Port, 443, syn),
    verdict: 'SENT_FORWARDED',
    out: { mss: 1360 },
  },
]

describe('a way out that is narrower than the tunnel', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
    using netlink = new Netlink()
    setDevice(netlink, node.devices.world, { mtu: 1400 })
  })
  beforeEach(() => reset(node))

  for (const { name, program, packet, verdict, out } of cases)
    test(name, () => {
      const journey =
        program === 'from_pod'
          ? send(node, program, node.devices.pod7, packet)
          : send(node, program, node.devices.world, packet, { vni: 2, node: '172.18.0.4' })
      assert.equal(journey.verdict, verdict)
      if (verdict.startsWith('DROP')) return assert.equal(journey.action, 2)
      const result = dissect(journey.out)
      assert.deepEqual(result.wrongChecksums, [])
      assert.deepEqual({ ...result, ...out }, result)
    })

  test('an aggregate is judged by its segments', () => {
    established({ destination: '198.51.100.9', egressIp: '172.18.0.43' })(node)
    const packet = pod('198.51.100.9', whole).tcp(40000, 443, {
      flags: ['ACK'],
      payload: Buffer.alloc(2800),
    })
    const verdictWith = (gsoSize: number): string =>
      send(node, 'from_pod', node.devices.pod7, packet, undefined, { gsoSize, gsoSegments: 2 }).verdict
    assert.equal(verdictWith(1360), 'SENT_TO_WORLD')
    assert.equal(verdictWith(1380), 'SENT_TOO_BIG')
  })

  test('what a gateway answers reaches the pod', () => {
    established({ egressIp: '172.18.0.43', protocol: 17, egressPort: slot2Port - 16 })(node)
    const answer = ipv4('203.0.113.9', '172.18.0.43').error(
      'tooBig',
      outward(whole).udp(slot2Port - 16, 443, Buffer.alloc(1373)),
      28,
    )
    const { verdict, out } = send(node, 'from_overlay', node.devices.world, answer, {
      vni: 3,
      node: '172.18.0.4',
    })
    assert.equal(verdict, 'SENT_TO_POD')
    const { destination, about } = dissect(out)
    assert.deepEqual([destination, about?.source, about?.sourcePort], ['10.244.1.7', '10.244.1.7', 40000])
  })
})
