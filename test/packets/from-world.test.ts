import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { before, beforeEach, describe, test } from 'node:test'
import { dissect } from './dissect.ts'
import { established } from './flows.ts'
import { cases } from './from-world-cases.ts'
import { type NodeUnderTest, openNode, ourPorts, reset, send, skip, slot2Port } from './node-under-test.ts'
import { ipv4 } from './packet.ts'

const answer = (fields = {}) => ipv4('203.0.113.9', '172.18.0.42', fields)

describe('a packet comes in by a native device', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(() => reset(node))

  for (const { name, given, packet, verdict, out } of cases)
    test(name, async () => {
      await given?.(node)
      const journey = send(node, 'from_world', node.devices.world, packet)
      assert.equal(journey.verdict, verdict)
      if (verdict.startsWith('DROP')) return assert.equal(journey.action, 2)
      if (verdict.startsWith('PASS')) {
        assert.equal(journey.action, -1)
        return assert.deepEqual(journey.out, packet)
      }
      assert.equal(journey.action, 7)
      const result = dissect(journey.out)
      assert.deepEqual(result.wrongChecksums, [])
      assert.deepEqual({ ...result, ...out }, result)
    })

  test('a service of the node on an egress IP is the stack’s', async () => {
    const server = createServer().listen(8080)
    await once(server, 'listening')
    const syn = answer().tcp(443, 8080, { flags: ['SYN'] })
    try {
      assert.equal(send(node, 'from_world', node.devices.world, syn).verdict, 'PASS_NOT_OURS')
    } finally {
      server.close()
    }
    await once(server, 'close')
    assert.equal(send(node, 'from_world', node.devices.world, syn).verdict, 'DROP_NO_MAPPING')
  })

  test('what the stack delivers to a pod is remembered, so that the answer passes', () => {
    const request = ipv4('203.0.113.9', '10.244.1.7').tcp(5000, 80, { flags: ['SYN'] })
    assert.equal(send(node, 'to_pod', node.devices.pod7, request).verdict, 'PASS_TO_STACK')
    const reply = ipv4('10.244.1.7', '203.0.113.9').tcp(80, 5000, { flags: ['SYN', 'ACK'] })
    assert.equal(send(node, 'from_pod', node.devices.pod7, reply).verdict, 'PASS_REPLY')
  })

  test('fragments of strangers are not remembered: to no port of ours, to one without a flow, through the node', () => {
    const udp = (port: number) => answer().udp(443, port, Buffer.alloc(32)).subarray(34)
    const fragment = { id: 5, offset: 0, hasMore: true }
    for (const port of [1023, ourPorts.first])
      send(node, 'from_world', node.devices.world, answer({ fragment }).raw(17, udp(port)))
    const passing = ipv4('203.0.113.9', '172.18.9.9', { fragment }).raw(17, udp(53))
    send(node, 'from_world', node.devices.world, passing)
    send(node, 'to_pod', node.devices.pod7, ipv4('203.0.113.9', '10.244.1.7', { fragment }).raw(17, udp(53)))
    assert.equal(node.datapath.tables.fragments.count(), 0)
  })

  test('later fragments for another node’s port follow their first', () => {
    const udp = answer().udp(443, slot2Port, Buffer.alloc(64)).subarray(34)
    for (const [offset, hasMore] of [
      [0, true],
      [40, false],
    ] as const) {
      const piece = answer({ fragment: { id: 6, offset, hasMore } }).raw(
        17,
        udp.subarray(offset, offset + 40),
      )
      assert.equal(send(node, 'from_world', node.devices.world, piece).verdict, 'SENT_TO_OWNER')
    }
  })

  test('later fragments of an answer follow their first', () => {
    const udp = answer().udp(443, ourPorts.first, Buffer.alloc(64)).subarray(34)
    established({ protocol: 17 })(node)
    const first = send(
      node,
      'from_world',
      node.devices.world,
      answer({ fragment: { id: 5, offset: 0, hasMore: true } }).raw(17, udp.subarray(0, 40)),
    )
    assert.equal(first.verdict, 'SENT_TO_POD')
    const rest = send(
      node,
      'from_world',
      node.devices.world,
      answer({ fragment: { id: 5, offset: 40, hasMore: false } }).raw(17, udp.subarray(40)),
    )
    assert.equal(rest.verdict, 'SENT_TO_POD')
    assert.equal(dissect(rest.out).destination, '10.244.1.7')
  })
})
