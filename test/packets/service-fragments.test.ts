import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { dissect } from './dissect.ts'
import { type NodeUnderTest, openNode, reset, send, skip, standardTables } from './node-under-test.ts'
import { address, ipv4, protocolNumber } from './packet.ts'
import { serviceTo } from './service-cases.ts'

/* Only the first fragment of a datagram has ports, and the others must take the same way. */

describe('fragments of datagrams through a Service', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode({ replaces_kube_proxy: 1 })
  })
  beforeEach(async () => {
    await reset(node)
    await node.datapath.apply({ ...standardTables(node), services: serviceTo('far') })
  })

  const first = { fragment: { id: 7, offset: 0, hasMore: true } }
  const later = { fragment: { id: 7, offset: 1200, hasMore: false } }
  const payload = Buffer.alloc(1192)

  test('all of them go to the endpoint, and those of the answer come from the Service', () => {
    const fromClient = (packet: Buffer) => send(node, 'from_pod', node.devices.pod7, packet)
    const fromNode = (packet: Buffer) =>
      send(node, 'from_overlay', node.devices.world, packet, { vni: 1, node: '172.18.0.4' })
    const there = [
      fromClient(ipv4('10.244.1.7', '10.96.0.7', first).udp(40000, 80, payload)),
      fromClient(ipv4('10.244.1.7', '10.96.0.7', later).raw(protocolNumber.udp, payload)),
    ]
    for (const { verdict, out } of there)
      assert.deepEqual([verdict, dissect(out).destination], ['SENT_TO_NODE', address('10.244.2.9')])
    const back = [
      fromNode(ipv4('10.244.2.9', '10.244.1.7', first).udp(8080, 40000, payload)),
      fromNode(ipv4('10.244.2.9', '10.244.1.7', later).raw(protocolNumber.udp, payload)),
    ]
    for (const { verdict, out } of back)
      assert.deepEqual([verdict, dissect(out).source], ['SENT_TO_POD', address('10.96.0.7')])
  })
})
