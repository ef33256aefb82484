import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { putAddress } from '../../src/linux/device-addresses.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { type Dissected, dissect } from './dissect.ts'
import { established, type Given } from './flows.ts'
import {
  mac,
  masqueradePorts,
  type NodeUnderTest,
  nobodysSlotPort,
  openNode,
  ourPorts,
  reset,
  send,
  skip,
  slot2Port,
} from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

interface Case {
  readonly name: string
  readonly given?: Given
  readonly packet: Buffer
  readonly verdict: string
  readonly out?: Partial<Dissected>
}

const egressIp = '172.18.0.43'
const pod8 = (fields = {}) => ipv4('10.244.1.8', egressIp, fields)

/** The pod 10.244.1.7 has a flow from the egress IP to this node's address, where 10.244.1.8 leaves by masquerading. */
const flows: Given = (node) => {
  const masqueraded = {
    egressIp: '172.18.0.3',
    egressPort: masqueradePorts.first,
    mapping: { masqueraded: true },
  }
  for (const destinationPort of [ourPorts.first, slot2Port, nobodysSlotPort, 1024])
    established({ pod: '10.244.1.8', destination: egressIp, destinationPort, protocol: 17, ...masqueraded })(
      node,
    )
  return established({
    egressIp,
    destination: '172.18.0.3',
    destinationPort: masqueradePorts.first,
    protocol: 17,
  })(node)
}

const cases: readonly Case[] = [
  {
    name: 'to a pod of this node, with the sender as the world would see it',
    packet: pod8().udp(40000, ourPorts.first),
    verdict: 'SENT_TO_POD',
    out: {
      source: address('172.18.0.3'),
      sourcePort: masqueradePorts.first,
      destination: address('10.244.1.7'),
      destinationPort: 40000,
    },
  },
  {
    name: 'an ICMP error about what came so',
    packet: pod8().error('unreachable', ipv4(egressIp, '10.244.1.8').udp(ourPorts.first, 40000)),
    verdict: 'SENT_TO_POD',
    out: {
      source: address('172.18.0.3'), destination: address('10.244.1.7'), icmpType: 3,
      about: { source: address('10.244.1.7'), destination: address('172.18.0.3'), protocol: 17, timeToLive: 64, length: 33, sourcePort: 40000, destinationPort: masqueradePorts.first },
    }, // biome-ignore format: nested
  },
  {
    name: 'to a port of another node: sent there',
    packet: pod8().udp(40000, slot2Port),
    verdict: 'SENT_TO_OWNER',
    out: { destinationMac: mac.overlay, source: address('172.18.0.3'), destination: address(egressIp) },
  },
  {
    name: 'too big for the tunnel there: told in the name of the destination',
    packet: pod8({ dontFragment: true }).udp(40000, slot2Port, Buffer.alloc(1423)),
    verdict: 'SENT_TOO_BIG',
    out: { source: address(egressIp), destination: address('10.244.1.8'), mtu: 1450 },
  },
  {
    name: 'to a port of a slot that no node has',
    packet: pod8().udp(40000, nobodysSlotPort),
    verdict: 'DROP_UNKNOWN_NODE',
  },
  {
    name: 'to a port that nobody owns: there is no way out to this node itself',
    packet: pod8().udp(40000, 1024),
    verdict: 'DROP_NO_ROUTE',
  },
]

describe('a pod talks to an egress IP that its own node holds', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
    using netlink = new Netlink()
    putAddress(netlink, { index: node.devices.world, address: address(egressIp), prefixLength: 32 })
  })
  beforeEach(async () => {
    await reset(node)
    await flows(node)
  })

  for (const { name, packet, verdict, out } of cases)
    test(name, () => {
      const journey = send(node, 'from_pod', node.devices.pod8, packet)
      assert.equal(journey.verdict, verdict)
      if (verdict.startsWith('DROP')) return assert.equal(journey.action, 2)
      const result = dissect(journey.out)
      assert.deepEqual(result.wrongChecksums, [])
      assert.deepEqual({ ...result, ...out }, result)
    })
})
