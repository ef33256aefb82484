import type { Dissected } from './dissect.ts'
import { established, type Flow, flowKey, type Given, secondNs } from './flows.ts'
import { mac, ourPorts, standardTables } from './node-under-test.ts'
import { address, corrupt, destinationOptions, ipv4, ipv6, protocolNumber } from './packet.ts'

interface Case {
  readonly name: string
  /** Default: that of the pod 10.244.1.7. */
  readonly device?: 'pod7' | 'pod8' | 'pod9' | 'world'
  readonly given?: Given
  readonly packet: Buffer
  readonly verdict: string
  readonly out?: Partial<Dissected>
}

const pod = (destination: string, fields = {}) => ipv4('10.244.1.7', destination, fields)
const pod6 = (destination: string, fields = {}) => ipv6('fd00:1::7', destination, fields)
const tunnelled = { destinationMac: mac.overlay, sourceMac: mac.overlay }
const syn = { flags: ['SYN'] } as const

/** 203.0.113.9:5000 has connected to port 80 of the pod, through the stack. */
const openedFromOutside: Given = heardFromOutside({}, 0n)

/** The same for any protocol, a while ago. */
export function heardFromOutside(flow: Flow, agoNs: bigint): Given {
  return ({ datapath }) => {
    const answer = flowKey({ sourcePort: 80, destinationPort: 5000, ...flow })
    datapath.tables.inbound.set(answer, { last_ns: process.hrtime.bigint() - agoNs })
    return undefined
  }
}

const ping = { protocol: 1, sourcePort: 0, destinationPort: 7 }

export const cases: readonly Case[] = [
  {
    name: 'a selected pod leaves by the holder of its egress IP, with a port of this node',
    packet: pod('203.0.113.9').tcp(40000, 443, syn),
    verdict: 'SENT_TO_HOLDER',
    out: {
      ...tunnelled,
      source: address('172.18.0.42'),
      destination: address('203.0.113.9'),
      destinationPort: 443,
      timeToLive: 64,
    },
  },
  {
    name: 'a selected pod leaves by this node where it holds the egress IP: a hop, with the router as next',
    packet: pod('198.51.100.9').udp(40000, 53),
    verdict: 'SENT_TO_WORLD',
    out: { destinationMac: mac.router, source: address('172.18.0.43'), destinationPort: 53, timeToLive: 63 },
  },
  {
    name: 'UDP without a checksum stays without one',
    packet: pod('203.0.113.9').udp(40000, 53, 'hello', false),
    verdict: 'SENT_TO_HOLDER',
    out: { source: address('172.18.0.42'), destinationPort: 53 },
  },
  {
    name: 'an odd number of bytes',
    packet: pod('203.0.113.9').udp(40000, 53, 'odd'),
    verdict: 'SENT_TO_HOLDER',
    out: { source: address('172.18.0.42') },
  },
  {
    name: 'IP options travel along',
    packet: pod('203.0.113.9', { options: Buffer.from([1, 1, 1, 0]) }).tcp(40000, 443, syn),
    verdict: 'SENT_TO_HOLDER',
    out: { source: address('172.18.0.42'), destinationPort: 443 },
  },
  {
    name: 'a ping leaves with an identifier of this node',
    packet: pod('203.0.113.9').echo('request', 77),
    verdict: 'SENT_TO_HOLDER',
    out: { source: address('172.18.0.42'), icmpType: 8 },
  },
  {
    name: 'IPv6 by the same way',
    packet: pod6('2001:db8:ffff::9').tcp(40000, 443, syn),
    verdict: 'SENT_TO_HOLDER',
    out: { source: address('2001:db8::42'), destination: address('2001:db8:ffff::9'), destinationPort: 443 },
  },
  {
    name: 'IPv6 UDP out of this node',
    packet: pod6('2001:db8:eeee::9').udp(40000, 53),
    verdict: 'SENT_TO_WORLD',
    out: { destinationMac: mac.router, source: address('2001:db8::43'), timeToLive: 63 },
  },
  {
    name: 'an IPv6 ping',
    packet: pod6('2001:db8:eeee::9').echo('request', 77),
    verdict: 'SENT_TO_WORLD',
    out: { source: address('2001:db8::43'), icmpType: 128 },
  },
  {
    name: 'IPv6 with a hop-by-hop header in front',
    packet: pod6('2001:db8:ffff::9', {
      extension: { protocol: 0, bytes: Buffer.from([0, 0, 1, 4, 0, 0, 0, 0]) },
    }).udp(40000, 53),
    verdict: 'SENT_TO_HOLDER',
    out: { source: address('2001:db8::42'), destinationPort: 53 },
  },
  {
    name: 'IPv6 with as many headers in front as a packet may have',
    packet: pod6('2001:db8:ffff::9', { extension: destinationOptions(6) }).udp(40000, 53),
    verdict: 'SENT_TO_HOLDER',
    out: { source: address('2001:db8::42'), destinationPort: 53 },
  },
  {
    name: 'IPv6 with one more',
    packet: pod6('2001:db8:ffff::9', { extension: destinationOptions(7) }).udp(40000, 53),
    verdict: 'DROP_MALFORMED',
  },
  {
    name: 'the MSS of a SYN is lowered to what the tunnel carries',
    packet: pod('203.0.113.9').tcp(40000, 443, { ...syn, mss: 1460, options: Buffer.from([1, 3, 3, 7]) }),
    verdict: 'SENT_TO_HOLDER',
    out: { mss: 1410 },
  },
  {
    name: 'a small MSS stays',
    packet: pod('203.0.113.9').tcp(40000, 443, { ...syn, mss: 1000 }),
    verdict: 'SENT_TO_HOLDER',
    out: { mss: 1000 },
  },
  {
    name: 'an MSS at an odd place is lowered as well',
    packet: pod('203.0.113.9').tcp(40000, 443, { ...syn, mss: 1460, options: Buffer.from([1]) }),
    verdict: 'SENT_TO_HOLDER',
    out: { mss: 1410 },
  },
  {
    name: 'the MSS in IPv6 is 20 less',
    packet: pod6('2001:db8:ffff::9').tcp(40000, 443, { ...syn, mss: 1460 }),
    verdict: 'SENT_TO_HOLDER',
    out: { mss: 1390 },
  },
  {
    name: 'what no policy selects leaves with the node address',
    packet: pod('192.0.2.9').tcp(40000, 80, syn),
    verdict: 'SENT_TO_WORLD_MASQUERADED',
    out: { source: address('172.18.0.3'), destinationPort: 80, timeToLive: 63 },
  },
  {
    name: 'a pod that no policy selects leaves with the node address wherever it goes',
    device: 'pod8',
    packet: ipv4('10.244.1.8', '203.0.113.9').tcp(40000, 80, syn),
    verdict: 'SENT_TO_WORLD_MASQUERADED',
    out: { source: address('172.18.0.3') },
  },
  {
    name: 'masquerading needs no slot',
    device: 'pod8',
    given: (node) =>
      node.datapath.apply({
        ...standardTables(node),
        self: { ...standardTables(node).self, slot: undefined },
      }),
    packet: ipv4('10.244.1.8', '203.0.113.9').tcp(40000, 80, syn),
    verdict: 'SENT_TO_WORLD_MASQUERADED',
    out: { source: address('172.18.0.3') },
  },
  {
    name: 'an established flow keeps its address and port also where the policy is gone',
    given: async (node) => {
      established({ egressIp: '172.18.0.43' })(node)
      const tables = standardTables(node)
      await node.datapath.apply({
        ...tables,
        pods: new Map([...tables.pods].map(([ip, one]) => [ip, { ...one, policySet: 0n }])),
      })
    },
    packet: pod('203.0.113.9').tcp(40000, 443, { flags: ['ACK', 'PSH'], payload: 'GET /' }),
    verdict: 'SENT_TO_WORLD',
    out: { source: address('172.18.0.43'), sourcePort: ourPorts.first, timeToLive: 63 },
  },
  {
    name: 'a mapping of the pod that had the address before is not used',
    given: async (node) => {
      established({ egressIp: '172.18.0.43' })(node)
      const tables = standardTables(node)
      const sinceNs = process.hrtime.bigint()
      await node.datapath.apply({
        ...tables,
        pods: new Map([...tables.pods].map(([ip, one]) => [ip, { ...one, sinceNs }])),
      })
    },
    packet: pod('203.0.113.9').tcp(40000, 443, syn),
    verdict: 'SENT_TO_HOLDER',
    out: { source: address('172.18.0.42') },
  },
  {
    name: 'the policy selects no node',
    packet: pod('192.0.2.65').tcp(40000, 443, syn),
    verdict: 'DROP_NO_GATEWAY',
  },
  {
    name: 'the gateway has no address',
    packet: pod('192.0.2.129').tcp(40000, 443, syn),
    verdict: 'DROP_NO_EGRESS_IP',
  },
  {
    name: 'the policy is invalid',
    packet: pod('192.0.2.193').tcp(40000, 443, syn),
    verdict: 'DROP_POLICY_INVALID',
  },
  {
    name: 'no address of the family to masquerade with',
    packet: pod6('2001:db8:dddd::9').udp(1, 2),
    verdict: 'DROP_NO_EGRESS_IP',
  },
  {
    name: 'no ports at all',
    given: (node) => node.datapath.apply({ ...standardTables(node), pools: [] }),
    packet: pod('203.0.113.9').tcp(40000, 443, syn),
    verdict: 'DROP_NO_FREE_PORT',
  },
  {
    name: 'a group that is not there',
    given: (node) => node.datapath.apply({ ...standardTables(node), groups: new Map() }),
    packet: pod('203.0.113.9').tcp(40000, 443, syn),
    verdict: 'DROP_NO_GATEWAY',
  },
  {
    name: 'a destination that the FIB does not know',
    packet: pod('198.18.0.9').udp(40000, 53),
    verdict: 'DROP_NO_ROUTE',
  },
  {
    name: 'multicast that a router could forward, which gateways do not',
    packet: pod('239.1.1.1').udp(40000, 1900),
    verdict: 'DROP_MULTICAST',
  },
  {
    name: 'the last hop of a packet',
    packet: pod('198.51.100.9', { timeToLive: 1 }).udp(40000, 53),
    verdict: 'DROP_TTL_EXCEEDED',
  },
  {
    name: 'too big for the tunnel: the sender is told the MTU, in the name of the destination',
    packet: pod('203.0.113.9', { dontFragment: true }).udp(40000, 443, Buffer.alloc(1423)),
    verdict: 'SENT_TOO_BIG',
    out: {
      destinationMac: '02:00:00:00:00:05', sourceMac: '02:00:00:00:00:06', source: address('203.0.113.9'), destination: address('10.244.1.7'),
      protocol: 1, icmpType: 3, mtu: 1450,
      about: { source: address('10.244.1.7'), destination: address('203.0.113.9'), protocol: 17, timeToLive: 64, length: 1451, sourcePort: 40000, destinationPort: 443 },
    }, // biome-ignore format: nested
  },
  {
    name: 'as big as the tunnel carries',
    packet: pod('203.0.113.9', { dontFragment: true }).udp(40000, 443, Buffer.alloc(1422)),
    verdict: 'SENT_TO_HOLDER',
    out: { length: 1450 },
  },
  {
    name: 'too big in IPv6',
    packet: pod6('2001:db8:ffff::9').udp(40000, 443, Buffer.alloc(1403)),
    verdict: 'SENT_TOO_BIG',
    out: { source: address('2001:db8:ffff::9'), destination: address('fd00:1::7'), icmpType: 2, mtu: 1450 },
  },
  {
    name: "a bigger packet that may be fragmented is the kernel's to fragment",
    packet: pod('203.0.113.9').udp(40000, 443, Buffer.alloc(1500)),
    verdict: 'SENT_TO_HOLDER',
    out: { length: 1528 },
  },
  {
    name: 'to another pod of this node',
    packet: pod('10.244.1.8').udp(1, 2),
    verdict: 'SENT_TO_POD',
    out: { destinationMac: mac.pod7, sourceMac: mac.host7, source: address('10.244.1.7') },
  },
  {
    name: 'to a pod elsewhere',
    packet: pod('10.244.2.8').udp(1, 2),
    verdict: 'SENT_TO_NODE',
    out: { ...tunnelled, source: address('10.244.1.7'), sourcePort: 1 },
  },
  {
    name: 'any protocol between pods',
    packet: pod('10.244.2.8').raw(protocolNumber.gre, Buffer.alloc(20)),
    verdict: 'SENT_TO_NODE',
  },
  { name: 'to its own node', packet: pod('172.18.0.3').udp(1, 2), verdict: 'PASS_TO_HOST' },
  { name: 'to a Service', packet: pod('10.96.0.1').tcp(1, 443, syn), verdict: 'PASS_TO_STACK' },
  {
    name: 'the answer to a connection from outside',
    given: openedFromOutside,
    packet: pod('203.0.113.9').tcp(80, 5000, { flags: ['SYN', 'ACK'] }),
    verdict: 'PASS_REPLY',
  },
  {
    name: 'the answer to a datagram from outside, as long as the stack knows of it',
    given: heardFromOutside({ protocol: 17 }, 25n * secondNs),
    packet: pod('203.0.113.9').udp(80, 5000),
    verdict: 'PASS_REPLY',
  },
  {
    name: 'later it is the pod’s own: the stack would let it out as it is',
    given: heardFromOutside({ protocol: 17 }, 35n * secondNs),
    packet: pod('203.0.113.9').udp(80, 5000),
    verdict: 'SENT_TO_HOLDER',
  },
  {
    name: 'the answer to a ping from outside',
    given: heardFromOutside(ping, 25n * secondNs),
    packet: pod('203.0.113.9').echo('reply', 7),
    verdict: 'PASS_REPLY',
  },
  {
    name: 'an answer to a ping that the stack has forgotten',
    given: heardFromOutside(ping, 35n * secondNs),
    packet: pod('203.0.113.9').echo('reply', 7),
    verdict: 'DROP_NO_MAPPING',
  },
  {
    name: 'an answer in a connection from outside that was silent for a minute',
    given: heardFromOutside({}, 60n * secondNs),
    packet: pod('203.0.113.9').tcp(80, 5000, { flags: ['ACK'] }),
    verdict: 'PASS_REPLY',
  },
  {
    name: 'a SYN of the pod is its own doing, also where a connection from outside had these ports',
    given: openedFromOutside,
    packet: pod('203.0.113.9').tcp(80, 5000, syn),
    verdict: 'SENT_TO_HOLDER',
  },
  {
    name: 'ARP',
    packet: Buffer.concat([Buffer.alloc(12), Buffer.from([0x08, 0x06]), Buffer.alloc(28)]),
    verdict: 'PASS_LINK_LOCAL',
  },
  {
    name: 'a router solicitation',
    packet: pod6('ff02::2').raw(58, Buffer.from([133, 0, 0, 0, 0, 0, 0, 0])),
    verdict: 'PASS_LINK_LOCAL',
  },
  {
    name: 'neighbour discovery to a link-local address',
    packet: pod6('fe80::1').raw(58, Buffer.from([136, 0, 0, 0, 0, 0, 0, 0])),
    verdict: 'PASS_LINK_LOCAL',
  },
  {
    name: 'neighbour discovery from a link-local address, to a router that has another',
    packet: ipv6('fe80::7', 'fd00:1::1').raw(58, Buffer.from([135, 0, 0, 0, 0, 0, 0, 0])),
    verdict: 'PASS_LINK_LOCAL',
  },
  {
    name: 'neighbour discovery to its own node, whatever address that has',
    packet: pod6('2001:db8::3').raw(58, Buffer.from([136, 0, 0, 0, 0, 0, 0, 0])),
    verdict: 'PASS_TO_HOST',
  },
  {
    name: 'neighbour discovery to another pod, which would believe it',
    packet: pod6('fd00:1::8').raw(58, Buffer.from([136, 0, 0, 0, 0, 0, 0, 0])),
    verdict: 'DROP_UNSUPPORTED_PROTOCOL',
  },
  {
    name: 'the same to a pod elsewhere',
    packet: pod6('fd00:2::8').raw(58, Buffer.from([136, 0, 0, 0, 0, 0, 0, 0])),
    verdict: 'DROP_UNSUPPORTED_PROTOCOL',
  },
  ...[130, 135, 139, 143].map((type) => ({
    name: `a message of the link goes nowhere else: ICMPv6 type ${type} to the world`,
    packet: pod6('2001:db8:eeee::9').raw(58, Buffer.from([type, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])),
    verdict: 'DROP_UNSUPPORTED_PROTOCOL',
  })),
  {
    name: 'the same with a source that is not the pod’s',
    packet: ipv6('2001:db8::dead', '2001:db8:eeee::9').raw(58, Buffer.from([139, 0, 0, 0, 0, 0, 0, 0])),
    verdict: 'DROP_UNKNOWN_POD',
  },
  {
    name: 'a datagram to a tunnel’s port, which would come there from this node’s address',
    device: 'pod8',
    packet: ipv4('10.244.1.8', '172.18.0.42').udp(40000, 8472),
    verdict: 'DROP_TUNNEL_PORT',
  },
  {
    name: 'the same with an egress IP as its source: that may be a node’s own',
    packet: pod('203.0.113.9').udp(40000, 8472),
    verdict: 'DROP_TUNNEL_PORT',
  },
  {
    name: 'the same of a flow that is there already',
    given: established({ protocol: 17, destinationPort: 8472 }),
    packet: pod('203.0.113.9').udp(40000, 8472),
    verdict: 'DROP_TUNNEL_PORT',
  },
  {
    name: 'the same port in TCP is nobody’s tunnel',
    packet: pod('203.0.113.9').tcp(40000, 8472, syn),
    verdict: 'SENT_TO_HOLDER',
  },
  {
    name: 'pods may have a tunnel among themselves',
    packet: pod('10.244.1.8').udp(40000, 8472),
    verdict: 'SENT_TO_POD',
  },
  {
    name: 'also from node to node',
    packet: pod('10.244.2.8').udp(40000, 8472),
    verdict: 'SENT_TO_NODE',
  },
  {
    name: 'a sender that is no pod of ours',
    packet: ipv4('10.244.1.200', '203.0.113.9').udp(1, 2),
    verdict: 'DROP_UNKNOWN_POD',
  },
  {
    name: 'a pod whose entries are not complete',
    device: 'pod9',
    packet: ipv4('10.244.1.9', '203.0.113.9').udp(1, 2),
    verdict: 'DROP_UNKNOWN_POD',
  },
  {
    name: 'the address of another pod',
    device: 'pod8',
    packet: pod('203.0.113.9').udp(1, 2),
    verdict: 'DROP_SPOOFED_SOURCE',
  },
  {
    name: 'a SYN-ACK that nobody asked for',
    packet: pod('203.0.113.9').tcp(80, 5000, { flags: ['SYN', 'ACK'] }),
    verdict: 'DROP_NO_MAPPING',
  },
  {
    name: 'a reset of a connection that nobody knows',
    packet: pod('203.0.113.9').tcp(80, 5000, { flags: ['RST'] }),
    verdict: 'DROP_NO_MAPPING',
  },
  ...([['ACK'], ['ACK', 'PSH'], ['FIN', 'ACK'], ['FIN'], ['SYN', 'RST'], []] as const).map((flags) => ({
    name: `what opens no connection opens no flow: ${flags.join(' and ') || 'no flag at all'}`,
    packet: pod('203.0.113.9').tcp(40000, 443, { flags }),
    verdict: 'DROP_NO_MAPPING',
  })),
  {
    name: 'an echo reply that nobody asked for',
    packet: pod('203.0.113.9').echo('reply', 7),
    verdict: 'DROP_NO_MAPPING',
  },
  {
    name: 'a protocol without ports',
    packet: pod('203.0.113.9').raw(protocolNumber.gre, Buffer.alloc(20)),
    verdict: 'DROP_UNSUPPORTED_PROTOCOL',
  },
  {
    name: 'a frame that is not IP has no sender',
    packet: Buffer.concat([Buffer.alloc(12), Buffer.from([0x88, 0xcc]), Buffer.alloc(40)]),
    verdict: 'DROP_UNKNOWN_POD',
  },
  {
    name: 'a later fragment whose first was not seen',
    packet: pod('203.0.113.9', { fragment: { id: 9, offset: 1480, hasMore: false } }).raw(
      17,
      Buffer.alloc(100),
    ),
    verdict: 'DROP_UNKNOWN_FRAGMENT',
  },
  {
    name: 'a header that is cut',
    packet: pod('203.0.113.9')
      .tcp(1, 2, syn)
      .subarray(0, 14 + 20 + 12),
    verdict: 'DROP_MALFORMED',
  },
  {
    name: 'an IP header shorter than any',
    packet: corrupt(pod('203.0.113.9').udp(1, 2), 14, 0x44),
    verdict: 'DROP_MALFORMED',
  },
  {
    name: 'a TCP header longer than its packet',
    packet: corrupt(pod('203.0.113.9').tcp(1, 2, syn), 14 + 20 + 12, 0xf0),
    verdict: 'DROP_MALFORMED',
  },
  {
    name: 'an ICMP error about a flow that came in goes out translated, inside too',
    given: established({ protocol: 17 }),
    packet: pod('203.0.113.9').error('unreachable', ipv4('203.0.113.9', '10.244.1.7').udp(443, 40000)),
    verdict: 'SENT_TO_HOLDER',
    out: {
      source: address('172.18.0.42'), destination: address('203.0.113.9'), icmpType: 3,
      about: { source: address('203.0.113.9'), destination: address('172.18.0.42'), protocol: 17, timeToLive: 64, length: 33, sourcePort: 443, destinationPort: ourPorts.first },
    }, // biome-ignore format: nested
  },
  {
    name: 'the same in IPv6',
    given: established({
      pod: 'fd00:1::7',
      destination: '2001:db8:ffff::9',
      egressIp: '2001:db8::42',
      protocol: 17,
    }),
    packet: pod6('2001:db8:ffff::9').error(
      'unreachable',
      ipv6('2001:db8:ffff::9', 'fd00:1::7').udp(443, 40000),
    ),
    verdict: 'SENT_TO_HOLDER',
    out: {
      source: address('2001:db8::42'), icmpType: 1,
      about: { source: address('2001:db8:ffff::9'), destination: address('2001:db8::42'), protocol: 17, timeToLive: 64, length: 53, sourcePort: 443, destinationPort: ourPorts.first },
    }, // biome-ignore format: nested
  },
  {
    name: "an ICMP error about somebody else's packet",
    packet: pod('203.0.113.9').error('unreachable', ipv4('203.0.113.9', '10.244.1.8').udp(443, 40000)),
    verdict: 'DROP_SPOOFED_SOURCE',
  },
]
