import type { Dissected } from './dissect.ts'
import { established, type Given } from './flows.ts'
import {
  mac,
  nobodysSlotPort,
  ourPorts,
  slot2Port,
  standardTables,
  type TunnelEnd,
} from './node-under-test.ts'
import { address, ipv4, ipv6, protocolNumber } from './packet.ts'

interface Case {
  readonly name: string
  readonly given?: Given
  readonly tunnel: TunnelEnd
  readonly packet: Buffer
  readonly verdict: string
  readonly out?: Partial<Dissected>
}

const podTraffic = { vni: 1, node: '172.18.0.4' } as const
const outward = { vni: 2, node: '172.18.0.4' } as const
const returning = { vni: 3, node: '172.18.0.4' } as const
const ack = { flags: ['ACK'] } as const
const translated = (fields = {}) => ipv4('172.18.0.43', '203.0.113.9', fields)

export const cases: readonly Case[] = [
  {
    name: 'a gateway forwards what the owner of its source port sends',
    tunnel: outward,
    packet: translated().tcp(slot2Port, 443, ack),
    verdict: 'SENT_FORWARDED',
    out: {
      destinationMac: mac.router,
      source: address('172.18.0.43'),
      sourcePort: slot2Port,
      timeToLive: 63,
    },
  },
  {
    name: 'a ping with an identifier of the sender',
    tunnel: outward,
    packet: translated().echo('request', slot2Port),
    verdict: 'SENT_FORWARDED',
    out: { identifier: slot2Port },
  },
  {
    name: 'an ICMP error of a pod about what it got',
    tunnel: outward,
    packet: translated().error('unreachable', ipv4('203.0.113.9', '172.18.0.43').udp(443, slot2Port)),
    verdict: 'SENT_FORWARDED',
    out: { icmpType: 3 },
  },
  {
    name: 'IPv6',
    tunnel: outward,
    packet: ipv6('2001:db8::43', '2001:db8:eeee::9').udp(slot2Port, 443),
    verdict: 'SENT_FORWARDED',
    out: { destinationMac: mac.router, source: address('2001:db8::43'), timeToLive: 63 },
  },
  {
    name: 'a port that belongs to this node',
    tunnel: outward,
    packet: translated().tcp(ourPorts.first, 443, ack),
    verdict: 'DROP_NOT_THE_OWNER',
  },
  {
    name: 'a port of another node than the sender',
    tunnel: { ...outward, node: '172.18.0.5' },
    packet: translated().tcp(slot2Port, 443, ack),
    verdict: 'DROP_NOT_THE_OWNER',
  },
  {
    name: 'a port that nobody owns',
    tunnel: outward,
    packet: translated().tcp(1024, 443, ack),
    verdict: 'DROP_NOT_THE_OWNER',
  },
  {
    name: 'a source that is no egress IP',
    tunnel: outward,
    packet: ipv4('10.244.2.8', '203.0.113.9').tcp(slot2Port, 443, ack),
    verdict: 'DROP_NOT_THE_OWNER',
  },
  {
    name: 'a sender without a slot owns nothing',
    given: (node) =>
      node.datapath.apply({
        ...standardTables(node),
        nodes: new Map([[address('172.18.0.4'), { slot: undefined }]]),
      }),
    tunnel: outward,
    packet: translated().tcp(slot2Port, 443, ack),
    verdict: 'DROP_NOT_THE_OWNER',
  },
  {
    name: 'an ICMP error whose inside speaks of another source than its outside',
    tunnel: outward,
    packet: ipv4('10.244.2.8', '203.0.113.9').error(
      'unreachable',
      ipv4('203.0.113.9', '172.18.0.43').udp(443, slot2Port),
    ),
    verdict: 'DROP_NOT_THE_OWNER',
  },
  {
    name: "for a flow of this node's pod on an egress IP: turned round here",
    given: established({ destination: '172.18.0.43', destinationPort: slot2Port }),
    tunnel: outward,
    packet: ipv4('172.18.0.43', '172.18.0.42').tcp(slot2Port, ourPorts.first, ack),
    verdict: 'SENT_TO_POD',
    out: { source: address('172.18.0.43'), destination: address('10.244.1.7'), destinationPort: 40000 },
  },
  {
    name: "for a third node's flow on an egress IP: sent there",
    given: (node) => {
      const tables = standardTables(node)
      const entry = tables.egressIps.get(address('172.18.0.42'))
      const blockOwner = (entry?.blockOwner ?? []).with(2050, 3)
      return node.datapath.apply({
        ...tables,
        egressIps: new Map([
          ...tables.egressIps,
          [address('172.18.0.42'), { order: entry?.order ?? [], blockOwner }],
        ]),
      })
    },
    tunnel: outward,
    packet: ipv4('172.18.0.43', '172.18.0.42').tcp(slot2Port, nobodysSlotPort, ack),
    verdict: 'SENT_TO_OWNER',
    out: { destinationMac: mac.overlay, destinationPort: nobodysSlotPort },
  },
  {
    name: 'a destination without a route',
    tunnel: outward,
    packet: ipv4('172.18.0.43', '198.18.0.9').udp(slot2Port, 443),
    verdict: 'DROP_NO_ROUTE',
  },
  {
    name: 'the last hop',
    tunnel: outward,
    packet: translated({ timeToLive: 1 }).udp(slot2Port, 443),
    verdict: 'DROP_TTL_EXCEEDED',
  },
  {
    name: 'a sender that is no node',
    tunnel: { ...outward, node: '172.18.0.99' },
    packet: translated().tcp(slot2Port, 443, ack),
    verdict: 'DROP_UNKNOWN_NODE',
  },
  {
    name: 'a VNI that means nothing',
    tunnel: { ...outward, vni: 99 },
    packet: translated().tcp(slot2Port, 443, ack),
    verdict: 'DROP_UNKNOWN_TUNNEL',
  },
  {
    name: 'a protocol without ports',
    tunnel: outward,
    packet: translated().raw(protocolNumber.gre, Buffer.alloc(20)),
    verdict: 'DROP_UNSUPPORTED_PROTOCOL',
  },
  {
    name: 'a header that is cut',
    tunnel: outward,
    packet: translated().tcp(slot2Port, 443, ack).subarray(0, 40),
    verdict: 'DROP_MALFORMED',
  },
  {
    name: 'a fragment whose first was not seen',
    tunnel: outward,
    packet: translated({ fragment: { id: 1, offset: 80, hasMore: false } }).raw(17, Buffer.alloc(40)),
    verdict: 'DROP_UNKNOWN_FRAGMENT',
  },
  {
    name: 'returning to a flow of this node',
    given: established(),
    tunnel: returning,
    packet: ipv4('203.0.113.9', '172.18.0.42').tcp(443, ourPorts.first, ack),
    verdict: 'SENT_TO_POD',
    out: { destinationMac: mac.pod7, destination: address('10.244.1.7'), destinationPort: 40000 },
  },
  {
    name: 'returning to no flow',
    tunnel: returning,
    packet: ipv4('203.0.113.9', '172.18.0.42').tcp(443, ourPorts.first, ack),
    verdict: 'DROP_NO_MAPPING',
  },
  {
    name: 'returning to a port of another node',
    tunnel: returning,
    packet: ipv4('203.0.113.9', '172.18.0.42').tcp(443, slot2Port, ack),
    verdict: 'DROP_LOOP',
  },
  {
    name: 'returning to no egress IP',
    tunnel: returning,
    packet: ipv4('203.0.113.9', '172.18.0.99').tcp(443, ourPorts.first, ack),
    verdict: 'DROP_NO_MAPPING',
  },
  {
    name: 'from a pod elsewhere to a pod here',
    tunnel: podTraffic,
    packet: ipv4('10.244.2.8', '10.244.1.7').tcp(5000, 80, ack),
    verdict: 'SENT_TO_POD',
    out: {
      destinationMac: mac.pod7,
      sourceMac: mac.host7,
      source: address('10.244.2.8'),
      destinationPort: 80,
    },
  },
  {
    name: 'any protocol between pods',
    tunnel: podTraffic,
    packet: ipv4('10.244.2.8', '10.244.1.7').raw(protocolNumber.gre, Buffer.alloc(9)),
    verdict: 'SENT_TO_POD',
  },
  {
    name: 'neighbour discovery has no business in a tunnel',
    tunnel: podTraffic,
    packet: ipv6('fd00:2::8', 'fd00:1::7').raw(58, Buffer.from([136, 0, 0, 0, 0, 0, 0, 0])),
    verdict: 'DROP_UNSUPPORTED_PROTOCOL',
  },
  {
    name: 'from a pod elsewhere to this node',
    tunnel: podTraffic,
    packet: ipv4('10.244.2.8', '172.18.0.3').tcp(5000, 22, ack),
    verdict: 'PASS_TO_HOST',
  },
  {
    name: 'to a pod that is not here',
    tunnel: podTraffic,
    packet: ipv4('10.244.2.8', '10.244.1.200').tcp(5000, 80, ack),
    verdict: 'DROP_NOT_A_LOCAL_POD',
  },
  {
    name: 'a way through this node to the world',
    tunnel: podTraffic,
    packet: ipv4('10.244.2.8', '203.0.113.9').tcp(5000, 80, ack),
    verdict: 'DROP_NOT_A_LOCAL_POD',
  },
]
