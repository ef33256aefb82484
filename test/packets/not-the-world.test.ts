import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import type { Desired } from '../../src/datapath/desired.ts'
import type { ClusterEntry } from '../../src/datapath/tables/policy-tables.ts'
import { putAddress } from '../../src/linux/device-addresses.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { putRoute } from '../../src/linux/routes.ts'
import type { Prefix } from '../../src/net/prefix.ts'
import {
  type NodeUnderTest,
  openNode,
  prefix,
  reset,
  send,
  skip,
  slot2Port,
  standardTables,
} from './node-under-test.ts'
import { address, ipv4, ipv6 } from './packet.ts'

/*
 * Destinations that no policy applies to although one names every address: those that no router forwards to, and addresses of
 * nodes. This node has 169.254.20.10 and the VIPs ….100, and holds the egress IPs ….43. Another node has the VIP 172.18.0.101.
 */
const other = { kind: 'node', tunnelAddress: address('172.18.0.4') } as const
const nodeAddresses: Desired['cluster'] = new Map<Prefix, ClusterEntry>([
  [prefix('169.254.20.10/32'), { kind: 'host' }],
  [prefix('172.18.255.255/32'), { kind: 'host' }],
  [prefix('172.18.0.100/32'), { kind: 'host' }],
  [prefix('2001:db8::100/128'), { kind: 'host' }],
  [prefix('172.18.0.43/32'), { kind: 'host', carriesFlows: true }],
  [prefix('2001:db8::43/128'), { kind: 'host', carriesFlows: true }],
  [prefix('172.18.0.101/32'), other],
  [prefix('172.18.0.42/32'), { ...other, carriesFlows: true }],
  [prefix('2001:db8::42/128'), { ...other, carriesFlows: true }],
])

function everywhere(node: NodeUnderTest): Desired {
  const tables = standardTables(node)
  const rules = new Map(tables.rules.get(1n))
  rules.set(prefix('0.0.0.0/0'), { action: 'egress', group: 2n, policy: 7n })
  rules.set(prefix('::/0'), { action: 'egress', group: 4n, policy: 7n })
  return {
    ...tables,
    rules: new Map([[1n, rules]]),
    cluster: new Map([...tables.cluster, ...nodeAddresses]),
  }
}

const pod = (destination: string, timeToLive = 64) => ipv4('10.244.1.7', destination, { timeToLive })
const pod6 = (destination: string, timeToLive = 64) => ipv6('fd00:1::7', destination, { timeToLive })
const free4 = (destination: string, timeToLive = 64) => ipv4('10.244.1.8', destination, { timeToLive })
const free6 = (destination: string, timeToLive = 64) => ipv6('fd00:1::8', destination, { timeToLive })

interface Case {
  readonly name: string
  /** Default: pod7, which a policy selects. */
  readonly device?: 'pod8'
  readonly packet: Buffer
  /** Chained, this is what another CNI plugin's pod meets. */
  readonly verdict: { readonly alone: string; readonly chained: string }
}

const both = (verdict: string): Case['verdict'] => ({ alone: verdict, chained: verdict })
const elsewhere = { alone: 'SENT_TO_NODE', chained: 'PASS_TO_STACK' }

const cases: readonly Case[] = [
  {
    name: 'a link-local address of the node, such as that of a node-local DNS cache',
    packet: pod('169.254.20.10').udp(40000, 53),
    verdict: both('PASS_TO_HOST'),
  },
  {
    name: 'a link-local address that is not the node’s, such as that of a metadata service: as without a policy',
    packet: pod('169.254.169.254').udp(40000, 80),
    verdict: { alone: 'SENT_TO_WORLD_MASQUERADED', chained: 'PASS_NOT_SELECTED' },
  },
  {
    name: 'a link-local address in IPv6',
    packet: pod6('fe80::53').udp(40000, 53),
    verdict: both('PASS_LINK_LOCAL'),
  },
  {
    name: 'loopback: no route leads there',
    packet: pod('127.0.0.1').udp(40000, 53),
    verdict: { alone: 'DROP_NO_ROUTE', chained: 'PASS_NOT_SELECTED' },
  },
  {
    name: 'loopback in IPv6',
    packet: pod6('::1').udp(40000, 53),
    verdict: { alone: 'DROP_NO_EGRESS_IP', chained: 'PASS_NOT_SELECTED' },
  },
  {
    name: 'every host of the link',
    packet: pod('255.255.255.255').udp(68, 67),
    verdict: both('PASS_LINK_LOCAL'),
  },
  {
    name: 'every host of a subnet of the node',
    packet: pod('172.18.255.255').udp(40000, 137),
    verdict: both('PASS_TO_HOST'),
  },
  {
    name: 'multicast of the link',
    packet: pod('224.0.0.251').udp(5353, 5353),
    verdict: both('PASS_LINK_LOCAL'),
  },
  { name: 'the same in IPv6', packet: pod6('ff02::fb').udp(5353, 5353), verdict: both('PASS_LINK_LOCAL') },
  {
    name: 'wider multicast that may pass no router',
    packet: pod('239.1.1.1', 1).udp(1, 2),
    verdict: both('PASS_LINK_LOCAL'),
  },
  {
    name: 'the same in IPv6',
    packet: pod6('ff05::1:3', 1).udp(1, 2),
    verdict: both('PASS_LINK_LOCAL'),
  },
  {
    name: 'multicast that a router could forward, which a policy claims',
    packet: pod('239.1.1.1', 2).udp(1, 2),
    verdict: both('DROP_MULTICAST'),
  },
  { name: 'the same in IPv6', packet: pod6('ff05::1:3', 2).udp(1, 2), verdict: both('DROP_MULTICAST') },
  {
    name: 'the same, which no policy claims',
    device: 'pod8',
    packet: free4('239.1.1.1', 2).udp(1, 2),
    verdict: { alone: 'DROP_MULTICAST', chained: 'PASS_NOT_SELECTED' },
  },
  {
    name: 'the same in IPv6, which no policy claims',
    device: 'pod8',
    packet: free6('ff05::1:3', 2).udp(1, 2),
    verdict: { alone: 'DROP_MULTICAST', chained: 'PASS_NOT_SELECTED' },
  },
  {
    name: 'a second address of the node',
    packet: pod('172.18.0.100').tcp(40000, 6443, { flags: ['SYN'] }),
    verdict: both('PASS_TO_HOST'),
  },
  {
    name: 'the same in IPv6',
    packet: pod6('2001:db8::100').tcp(40000, 6443, { flags: ['SYN'] }),
    verdict: both('PASS_TO_HOST'),
  },
  {
    name: 'the same from a pod that no policy selects',
    device: 'pod8',
    packet: free4('172.18.0.100').tcp(40000, 6443, { flags: ['SYN'] }),
    verdict: both('PASS_TO_HOST'),
  },
  {
    name: 'a second address of another node',
    packet: pod('172.18.0.101').tcp(40000, 6443, { flags: ['SYN'] }),
    verdict: elsewhere,
  },
  {
    name: 'a server on an egress IP that the node holds',
    packet: pod('172.18.0.43').tcp(40000, 22, { flags: ['SYN'] }),
    verdict: both('PASS_TO_HOST'),
  },
  {
    name: 'the same in IPv6',
    packet: pod6('2001:db8::43').tcp(40000, 22, { flags: ['SYN'] }),
    verdict: both('PASS_TO_HOST'),
  },
  {
    name: 'a ping to that egress IP',
    packet: pod('172.18.0.43').echo('request', 7),
    verdict: both('PASS_TO_HOST'),
  },
  {
    name: 'a server on an egress IP of another node',
    packet: pod('172.18.0.42').tcp(40000, 22, { flags: ['SYN'] }),
    verdict: elsewhere,
  },
  {
    name: 'the same in IPv6',
    packet: pod6('2001:db8::42').tcp(40000, 22, { flags: ['SYN'] }),
    verdict: elsewhere,
  },
  {
    name: 'a port of an egress IP that flows of a node may have: it turns back',
    packet: pod('172.18.0.43').udp(40000, slot2Port),
    verdict: both('SENT_TO_OWNER'),
  },
]

for (const [mode, chained] of [
  ['alone', 0],
  ['chained', 1],
] as const)
  describe(`a pod sends to what is not the world, ${mode}`, { skip }, () => {
    let node: NodeUnderTest
    before(() => {
      node = openNode({ chained })
      using netlink = new Netlink()
      putAddress(netlink, {
        index: node.devices.world,
        address: address('172.18.0.43'),
        prefixLength: 32,
      })
      putRoute(netlink, {
        destination: prefix('169.254.0.0/16'),
        kind: 'unicast',
        via: address('172.18.0.1'),
        ifindex: node.devices.world,
      })
    })
    beforeEach(async () => {
      await reset(node)
      await node.datapath.apply(everywhere(node))
    })

    for (const { name, device = 'pod7', packet, verdict } of cases)
      test(name, () => {
        const journey = send(node, 'from_pod', node.devices[device], packet)
        assert.equal(journey.verdict, verdict[mode])
        if (verdict[mode].startsWith('PASS')) assert.deepEqual(journey.out, packet)
      })
  })

describe('a packet of a pod comes out of the tunnel', { skip }, () => {
  let node: NodeUnderTest
  before(async () => {
    node = openNode()
    await node.datapath.apply(everywhere(node))
  })

  for (const [name, packet] of [
    ['for a second address of the node', ipv4('10.244.2.8', '172.18.0.100').udp(1, 6443)],
    ['for an egress IP of the node', ipv4('10.244.2.8', '172.18.0.43').tcp(1, 22, { flags: ['SYN'] })],
    ['for a second address of the node, in IPv6', ipv6('fd00:2::8', '2001:db8::100').udp(1, 6443)],
  ] as const)
    test(name, () => {
      const { verdict } = send(node, 'from_overlay', node.devices.world, packet, {
        vni: 1,
        node: '172.18.0.4',
      })
      assert.equal(verdict, 'PASS_TO_HOST')
    })
})
