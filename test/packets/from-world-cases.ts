import type { Dissected } from './dissect.ts'
import { established, type Given } from './flows.ts'
import {
  mac,
  masqueradePorts,
  nobodysSlotPort,
  ourPorts,
  slot2Port,
  standardTables,
} from './node-under-test.ts'
import { address, corrupt, destinationOptions, ipv4, ipv6 } from './packet.ts'

interface Case {
  readonly name: string
  readonly given?: Given
  readonly packet: Buffer
  readonly verdict: string
  readonly out?: Partial<Dissected>
}

const answer = (fields = {}) => ipv4('203.0.113.9', '172.18.0.42', fields)
const answer6 = (fields = {}) => ipv6('2001:db8:ffff::9', '2001:db8::42', fields)
const ack = { flags: ['ACK'] } as const
const toPod = { destinationMac: mac.pod7, sourceMac: mac.host7, destination: address('10.244.1.7') }
const onLease = { destinationMac: mac.overlay, sourceMac: mac.overlay, destination: address('172.18.0.42') }

const leased8472: Given = async (node) => {
  const tables = standardTables(node)
  const ip = address('172.18.0.42')
  const { order, blockOwner } = tables.egressIps.get(ip) ?? { order: [], blockOwner: [] }
  const entry = { order, blockOwner: blockOwner.with(8472 >> 4, 1) }
  await node.datapath.apply({ ...tables, egressIps: new Map([...tables.egressIps, [ip, entry]]) })
  established({ protocol: 17, egressPort: 8472 })(node)
}

export const cases: readonly Case[] = [
  {
    name: 'an answer to a flow of this node goes to its pod, as the pod knows it',
    given: established(),
    packet: answer().tcp(443, ourPorts.first, ack),
    verdict: 'SENT_TO_POD',
    out: {
      ...toPod,
      source: address('203.0.113.9'),
      sourcePort: 443,
      destinationPort: 40000,
      timeToLive: 64,
    },
  },
  {
    name: 'the same in UDP, without a checksum',
    given: established({ protocol: 17 }),
    packet: answer().udp(443, ourPorts.first, 'hello', false),
    verdict: 'SENT_TO_POD',
    out: { ...toPod, destinationPort: 40000 },
  },
  {
    name: 'the same in IPv6',
    given: established({
      pod: 'fd00:1::7',
      destination: '2001:db8:ffff::9',
      egressIp: '2001:db8::42',
      protocol: 17,
    }),
    packet: answer6().udp(443, ourPorts.first),
    verdict: 'SENT_TO_POD',
    out: { destination: address('fd00:1::7'), destinationPort: 40000 },
  },
  {
    name: 'an echo reply finds the one who pinged, by its identifier',
    given: established({ protocol: 1, sourcePort: 77, destinationPort: 0 }),
    packet: answer().echo('reply', ourPorts.first),
    verdict: 'SENT_TO_POD',
    out: { ...toPod, icmpType: 0, identifier: 77 },
  },
  {
    name: 'the MSS of a SYN-ACK is lowered to what the tunnel carries',
    given: established(),
    packet: answer().tcp(443, ourPorts.first, { flags: ['SYN', 'ACK'], mss: 1460 }),
    verdict: 'SENT_TO_POD',
    out: { mss: 1410, destinationPort: 40000 },
  },
  {
    name: 'an answer to a masqueraded flow',
    given: established({
      egressIp: '172.18.0.3',
      egressPort: masqueradePorts.first,
      mapping: { masqueraded: true },
    }),
    packet: ipv4('203.0.113.9', '172.18.0.3').tcp(443, masqueradePorts.first, ack),
    verdict: 'SENT_TO_POD',
    out: { ...toPod, destinationPort: 40000 },
  },
  {
    name: 'an ICMP error about a flow of this node, inside as the pod sent it',
    given: established({ protocol: 17 }),
    packet: ipv4('198.51.100.77', '172.18.0.42').error(
      'timeExceeded',
      ipv4('172.18.0.42', '203.0.113.9').udp(ourPorts.first, 443),
      28,
    ),
    verdict: 'SENT_TO_POD',
    out: {
      ...toPod, source: address('198.51.100.77'), icmpType: 11,
      about: { source: address('10.244.1.7'), destination: address('203.0.113.9'), protocol: 17, timeToLive: 64, length: 33, sourcePort: 40000, destinationPort: 443 },
    }, // biome-ignore format: nested
  },
  {
    name: 'path MTU discovery: "fragmentation needed" reaches the pod',
    given: established(),
    packet: ipv4('198.51.100.77', '172.18.0.42').error(
      'tooBig',
      ipv4('172.18.0.42', '203.0.113.9').tcp(ourPorts.first, 443, ack),
      28,
    ),
    verdict: 'SENT_TO_POD',
    out: { ...toPod, icmpType: 3, mtu: 1400 },
  },
  {
    name: 'the same in IPv6',
    given: established({
      pod: 'fd00:1::7',
      destination: '2001:db8:ffff::9',
      egressIp: '2001:db8::42',
      protocol: 17,
    }),
    packet: ipv6('2001:db8::77', '2001:db8::42').error(
      'tooBig',
      ipv6('2001:db8::42', '2001:db8:ffff::9').udp(ourPorts.first, 443),
    ),
    verdict: 'SENT_TO_POD',
    out: {
      destination: address('fd00:1::7'), icmpType: 2,
      about: { source: address('fd00:1::7'), destination: address('2001:db8:ffff::9'), protocol: 17, timeToLive: 64, length: 53, sourcePort: 40000, destinationPort: 443 },
    }, // biome-ignore format: nested
  },
  ...[{ extension: destinationOptions(1) }, { fragment: { id: 7, offset: 0, hasMore: true } }].map(
    (fields) => ({
      name: `the same about a packet with ${Object.keys(fields).join()} headers in front of its transport`,
      given: established({
        pod: 'fd00:1::7',
        destination: '2001:db8:ffff::9',
        egressIp: '2001:db8::42',
        protocol: 17,
      }),
      packet: ipv6('2001:db8::77', '2001:db8::42').error(
        'tooBig',
        ipv6('2001:db8::42', '2001:db8:ffff::9', fields).udp(ourPorts.first, 443),
      ),
      verdict: 'SENT_TO_POD',
      out: {
      destination: address('fd00:1::7'), icmpType: 2,
      about: { source: address('fd00:1::7'), destination: address('2001:db8:ffff::9'), protocol: 17, timeToLive: 64, length: 61, sourcePort: 40000, destinationPort: 443 },
    }, // biome-ignore format: nested
    }),
  ),
  {
    name: 'an ICMPv6 error about a later fragment speaks of no flow: the stack decides',
    packet: ipv6('2001:db8::77', '2001:db8::42').error(
      'tooBig',
      ipv6('2001:db8::42', '2001:db8:ffff::9', { fragment: { id: 7, offset: 80, hasMore: false } }).udp(
        ourPorts.first,
        443,
      ),
    ),
    verdict: 'PASS_NOT_OURS',
  },
  {
    name: 'a port of another node: through the tunnel, as it is',
    packet: answer().tcp(443, slot2Port, ack),
    verdict: 'SENT_TO_OWNER',
    out: { ...onLease, source: address('203.0.113.9'), destinationPort: slot2Port, timeToLive: 64 },
  },
  {
    name: 'an ICMP error about a flow of another node',
    packet: ipv4('198.51.100.77', '172.18.0.42').error(
      'unreachable',
      ipv4('172.18.0.42', '203.0.113.9').udp(slot2Port, 443),
    ),
    verdict: 'SENT_TO_OWNER',
    out: onLease,
  },
  {
    name: "an echo request to another node's identifier is nobody's: the stack decides",
    packet: answer().echo('request', slot2Port),
    verdict: 'PASS_NOT_OURS',
  },
  {
    name: 'too big for the tunnel to the owner',
    packet: answer({ dontFragment: true }).udp(443, slot2Port, Buffer.alloc(1423)),
    verdict: 'SENT_TOO_BIG',
    out: { source: address('172.18.0.42'), destination: address('203.0.113.9'), icmpType: 3, mtu: 1450 },
  },
  {
    name: 'a port that nobody owns as far as this node knows: no reset for a lease that it has yet to hear of',
    packet: answer().tcp(443, 1024, ack),
    verdict: 'DROP_NO_MAPPING',
  },
  {
    name: 'the same in UDP: no "port unreachable" either',
    packet: answer().udp(443, 29999),
    verdict: 'DROP_NO_MAPPING',
  },
  {
    name: 'the same in IPv6',
    packet: answer6().tcp(443, 29999, ack),
    verdict: 'DROP_NO_MAPPING',
  },
  { name: 'a port that is never given out', packet: answer().tcp(443, 1023, ack), verdict: 'PASS_NOT_OURS' },
  { name: 'a NodePort', packet: answer().tcp(443, 30000, ack), verdict: 'PASS_NOT_OURS' },
  { name: 'the last NodePort', packet: answer().tcp(443, 32767, ack), verdict: 'PASS_NOT_OURS' },
  {
    name: "a port that nobody owns of the node's own address",
    packet: ipv4('203.0.113.9', '172.18.0.3').tcp(443, 1024, ack),
    verdict: 'PASS_NOT_OURS',
  },
  {
    name: 'an ICMP error about a port that nobody owns',
    packet: ipv4('198.51.100.77', '172.18.0.42').error(
      'unreachable',
      ipv4('172.18.0.42', '203.0.113.9').udp(1024, 443),
    ),
    verdict: 'PASS_NOT_OURS',
  },
  {
    name: 'a port of a slot that no node has',
    packet: answer().tcp(443, nobodysSlotPort, ack),
    verdict: 'DROP_UNKNOWN_NODE',
  },
  {
    name: 'one of our ports without a flow',
    packet: answer().tcp(443, ourPorts.first, ack),
    verdict: 'DROP_NO_MAPPING',
  },
  {
    name: "one of our ports, but from somebody else than the flow's far end",
    given: established(),
    packet: ipv4('203.0.113.10', '172.18.0.42').tcp(443, ourPorts.first, ack),
    verdict: 'DROP_NO_MAPPING',
  },
  {
    name: 'the same host from another port',
    given: established(),
    packet: answer().tcp(444, ourPorts.first, ack),
    verdict: 'DROP_NO_MAPPING',
  },
  {
    name: 'one of our ports in another protocol',
    given: established(),
    packet: answer().udp(443, ourPorts.first),
    verdict: 'DROP_NO_MAPPING',
  },
  {
    name: 'a flow whose pod is gone',
    given: established({ pod: '10.244.1.77' }),
    packet: answer().tcp(443, ourPorts.first, ack),
    verdict: 'DROP_NOT_A_LOCAL_POD',
  },
  {
    name: "the node's own port in the masquerading range, used by a socket of the node: the stack's",
    packet: ipv4('203.0.113.9', '172.18.0.3').tcp(443, masqueradePorts.first, ack),
    verdict: 'PASS_NOT_OURS',
  },
  {
    name: 'a datagram to the tunnel at an egress IP: no node sends there',
    packet: ipv4('172.18.0.4', '172.18.0.43').udp(49160, 8472),
    verdict: 'DROP_TUNNEL_PORT',
  },
  {
    name: 'the tunnel at its own address',
    packet: ipv4('172.18.0.4', '172.18.0.3').udp(49160, 8472),
    verdict: 'PASS_NOT_OURS',
  },
  {
    name: 'an answer to a flow that has the tunnel’s port of an egress IP by lease',
    given: leased8472,
    packet: answer().udp(443, 8472),
    verdict: 'SENT_TO_POD',
    out: { ...toPod, destinationPort: 40000 },
  },
  {
    name: "the node's own services",
    packet: ipv4('203.0.113.9', '172.18.0.3').tcp(5000, 22, { flags: ['SYN'] }),
    verdict: 'PASS_NOT_OURS',
  },
  {
    name: 'forwarded to somebody else',
    packet: ipv4('203.0.113.9', '172.18.9.9').tcp(5000, 22, ack),
    verdict: 'PASS_NOT_OURS',
  },
  {
    name: 'an ICMP error about a packet of another address than it was sent to',
    packet: ipv4('198.51.100.77', '172.18.0.42').error(
      'unreachable',
      ipv4('172.18.0.99', '203.0.113.9').udp(ourPorts.first, 443),
    ),
    verdict: 'DROP_MALFORMED',
  },
  {
    name: "what cannot be read is the node's own",
    packet: corrupt(answer().tcp(443, ourPorts.first, ack), 14, 0x41),
    verdict: 'PASS_NOT_OURS',
  },
  {
    name: 'a later fragment of nothing known',
    packet: answer({ fragment: { id: 5, offset: 800, hasMore: false } }).raw(17, Buffer.alloc(40)),
    verdict: 'PASS_NOT_OURS',
  },
  {
    name: 'ARP',
    packet: Buffer.concat([Buffer.alloc(12), Buffer.from([0x08, 0x06]), Buffer.alloc(28)]),
    verdict: 'PASS_NOT_OURS',
  },
]
