import assert from 'node:assert/strict'
import type { Given } from './flows.ts'
import { send } from './node-under-test.ts'
import { ipv4, ipv6, protocolNumber } from './packet.ts'

const pod = (destination: string, fields = {}) => ipv4('10.244.1.7', destination, fields)
const syn = { flags: ['SYN'] } as const
const ack = { flags: ['ACK'] } as const

/** The stack has just delivered a packet of 203.0.113.9 to the pod. */
export const delivered =
  (packet: Buffer): Given =>
  (node) => {
    assert.equal(send(node, 'to_pod', node.devices.pod7, packet).verdict, 'PASS_TO_STACK')
    return undefined
  }

export const cases: readonly {
  readonly name: string
  readonly device?: 'pod7' | 'pod8' | 'pod9'
  readonly given?: Given
  readonly packet: Buffer
  readonly verdict: string
}[] = [
  {
    name: 'what no policy selects goes on to the stack',
    device: 'pod8',
    packet: ipv4('10.244.1.8', '203.0.113.9').tcp(40000, 443, syn),
    verdict: 'PASS_NOT_SELECTED',
  },
  {
    name: 'so does a destination that no policy of a selected pod names',
    packet: pod('8.8.8.8').udp(40000, 53),
    verdict: 'PASS_NOT_SELECTED',
  },
  {
    name: 'and one that its policy excludes',
    packet: pod('192.0.2.9').tcp(40000, 443, syn),
    verdict: 'PASS_NOT_SELECTED',
  },
  {
    name: 'a packet that opens nothing is the stack’s to judge',
    device: 'pod8',
    packet: ipv4('10.244.1.8', '203.0.113.9').tcp(40000, 443, { flags: ['RST'] }),
    verdict: 'PASS_NOT_SELECTED',
  },
  {
    name: 'the stack may carry what has no ports',
    packet: pod('8.8.8.8').raw(protocolNumber.gre, Buffer.alloc(20)),
    verdict: 'PASS_NOT_SELECTED',
  },
  {
    name: 'not where a policy claims it: it would leave with the node’s address',
    packet: pod('203.0.113.9').raw(protocolNumber.gre, Buffer.alloc(20)),
    verdict: 'DROP_UNSUPPORTED_PROTOCOL',
  },
  {
    name: 'a later fragment whose first was not seen, claimed',
    packet: pod('203.0.113.9', { fragment: { id: 7, offset: 64, hasMore: false } }).raw(17, Buffer.alloc(8)),
    verdict: 'DROP_UNKNOWN_FRAGMENT',
  },
  {
    name: 'a policy that cannot be honoured is a drop here, too',
    packet: pod('192.0.2.70').tcp(40000, 443, syn),
    verdict: 'DROP_NO_GATEWAY',
  },
  {
    name: 'a NetworkPolicy restricts the pod, and nobody would enforce it on the way to the gateway',
    packet: pod('192.0.2.33').tcp(40000, 443, syn),
    verdict: 'DROP_NETWORK_POLICY',
  },
  {
    name: 'a connection that the stack has goes on when a NetworkPolicy comes: there it is enforced',
    given: delivered(ipv4('192.0.2.33', '10.244.1.7').tcp(443, 40000, ack)),
    packet: pod('192.0.2.33').tcp(40000, 443, ack),
    verdict: 'PASS_REPLY',
  },
  {
    name: 'a pod of the same node is reached by the other plugin’s way',
    packet: pod('10.244.1.8').tcp(40000, 80, syn),
    verdict: 'PASS_TO_STACK',
  },
  {
    name: 'a pod whose entries are not complete sends nothing',
    device: 'pod9',
    packet: ipv4('10.244.1.9', '8.8.8.8').udp(40000, 53),
    verdict: 'DROP_UNKNOWN_POD',
  },
  {
    name: 'an address that is not the pod’s own',
    packet: ipv4('10.244.1.8', '203.0.113.9').udp(40000, 53),
    verdict: 'DROP_SPOOFED_SOURCE',
  },
  {
    name: 'a datagram to the tunnel of a node, which the stack would masquerade',
    device: 'pod8',
    packet: ipv4('10.244.1.8', '172.18.0.4').udp(40000, 8472),
    verdict: 'DROP_TUNNEL_PORT',
  },
  {
    name: 'the same to an address that no table knows: it may be a node’s',
    device: 'pod8',
    packet: ipv4('10.244.1.8', '172.18.9.9').udp(40000, 8472),
    verdict: 'DROP_TUNNEL_PORT',
  },
  {
    name: "to that port of a Service, or of a pod elsewhere: those are the stack's",
    packet: pod('10.96.0.1').udp(40000, 8472),
    verdict: 'PASS_TO_STACK',
  },
  {
    name: 'anything else to a node is the stack’s',
    packet: pod('172.18.0.4').udp(40000, 53),
    verdict: 'PASS_TO_STACK',
  },
  {
    name: 'neighbour discovery to the bridge’s own address is the stack’s',
    packet: ipv6('fd00:1::7', '2001:db8::3').raw(58, Buffer.from([136, 0, 0, 0, 0, 0, 0, 0])),
    verdict: 'PASS_TO_HOST',
  },
  {
    name: 'and between pods on a bridge',
    packet: ipv6('fd00:1::7', 'fd00:1::8').raw(58, Buffer.from([135, 0, 0, 0, 0, 0, 0, 0])),
    verdict: 'PASS_TO_STACK',
  },
  {
    name: 'to what a policy claims no neighbour is there',
    packet: ipv6('fd00:1::7', '2001:db8:eeee::9').raw(58, Buffer.from([135, 0, 0, 0, 0, 0, 0, 0])),
    verdict: 'DROP_UNSUPPORTED_PROTOCOL',
  },
  {
    name: 'a connection that was open before the policy came stays with the stack',
    given: delivered(ipv4('203.0.113.9', '10.244.1.7').tcp(443, 40000, ack)),
    packet: pod('203.0.113.9').tcp(40000, 443, ack),
    verdict: 'PASS_REPLY',
  },
  {
    name: 'so does an exchange of datagrams',
    given: delivered(ipv4('203.0.113.9', '10.244.1.7').udp(53, 40000)),
    packet: pod('203.0.113.9').udp(40000, 53),
    verdict: 'PASS_REPLY',
  },
  {
    name: 'a new connection from the same port does not',
    given: delivered(ipv4('203.0.113.9', '10.244.1.7').tcp(443, 40000, ack)),
    packet: pod('203.0.113.9').tcp(40000, 443, syn),
    verdict: 'SENT_TO_HOLDER',
  },
]
