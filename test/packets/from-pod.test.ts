import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { dissect } from './dissect.ts'
import { flowKey, secondNs } from './flows.ts'
import { cases, heardFromOutside } from './from-pod-cases.ts'
import {
  masqueradePorts,
  type NodeUnderTest,
  openNode,
  ourPorts,
  reset,
  send,
  skip,
} from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

const pod = (destination: string, fields = {}) => ipv4('10.244.1.7', destination, fields)
const syn = { flags: ['SYN'] } as const

describe('a packet leaves a pod', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(() => reset(node))

  for (const { name, device = 'pod7', given, packet, verdict, out } of cases)
    test(name, async () => {
      await given?.(node)
      const journey = send(node, 'from_pod', node.devices[device], packet)
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

  test('an answer keeps its exchange alive, an ICMP error does not', async () => {
    const key = flowKey({ protocol: 17, sourcePort: 80, destinationPort: 5000 })
    const heardAt = (): bigint => node.datapath.tables.inbound.get(key)?.last_ns ?? 0n
    await heardFromOutside({ protocol: 17 }, 25n * secondNs)(node)
    const first = heardAt()
    const about = ipv4('203.0.113.9', '10.244.1.7').udp(5000, 80)
    send(node, 'from_pod', node.devices.pod7, pod('203.0.113.9').error('unreachable', about))
    assert.equal(heardAt(), first)
    send(node, 'from_pod', node.devices.pod7, pod('203.0.113.9').udp(80, 5000))
    assert.ok(heardAt() > first + 20n * secondNs)
  })

  test("ports are this node's own, and all of them are used", () => {
    const used = new Set<number>()
    for (let sourcePort = 1; sourcePort <= 10; sourcePort++) {
      const { out } = send(node, 'from_pod', node.devices.pod7, pod('203.0.113.9').tcp(sourcePort, 443, syn))
      const port = dissect(out).sourcePort ?? 0
      assert.ok(port >= ourPorts.first && port <= ourPorts.last, `${port}`)
      used.add(port)
    }
    assert.equal(used.size, 10)
  })

  test('no port is shared towards one destination, and each is free towards another', () => {
    let sent = 0
    for (let sourcePort = 1; sourcePort <= 40; sourcePort++)
      if (
        send(node, 'from_pod', node.devices.pod7, pod('203.0.113.9').udp(sourcePort, 443)).verdict ===
        'SENT_TO_HOLDER'
      )
        sent++
    assert.equal(
      new Set([...node.datapath.tables.ports.entries()].map(([key]) => key.source_port)).size,
      sent,
    )
    assert.ok(sent <= 16 && sent >= 12, `${sent} of 16 ports found by random tries`)
    assert.equal(
      send(node, 'from_pod', node.devices.pod7, pod('203.0.113.10').udp(1, 443)).verdict,
      'SENT_TO_HOLDER',
    )
  })

  test("a masqueraded flow has a port of the node's own range", () => {
    const { out } = send(node, 'from_pod', node.devices.pod7, pod('192.0.2.9').udp(1, 443))
    const port = dissect(out).sourcePort ?? 0
    assert.ok(port >= masqueradePorts.first && port <= masqueradePorts.last)
  })

  test('data behind the TCP header is no option', () => {
    const data = Buffer.from([2, 4, 255, 255])
    const fields = { ...syn, options: Buffer.from([1, 3, 3, 7]), payload: data }
    const { out } = send(node, 'from_pod', node.devices.pod7, pod('203.0.113.9').tcp(40000, 443, fields))
    assert.deepEqual(out.subarray(-data.length), data)
  })

  test('later fragments follow their first', () => {
    const fragment = { id: 99, offset: 0, hasMore: true }
    const whole = pod('203.0.113.9').udp(40000, 443, Buffer.alloc(64)).subarray(34)
    const first = send(
      node,
      'from_pod',
      node.devices.pod7,
      pod('203.0.113.9', { fragment }).raw(17, whole.subarray(0, 40)),
    )
    assert.equal(first.verdict, 'SENT_TO_HOLDER')
    const rest = send(
      node,
      'from_pod',
      node.devices.pod7,
      pod('203.0.113.9', { fragment: { id: 99, offset: 40, hasMore: false } }).raw(17, whole.subarray(40)),
    )
    assert.equal(rest.verdict, 'SENT_TO_HOLDER')
    assert.equal(dissect(rest.out).source, '172.18.0.42')
    assert.deepEqual(dissect(rest.out).wrongChecksums, [])
  })

  test('a fragment with another pod’s address is not remembered', () => {
    const fragment = { id: 99, offset: 0, hasMore: true }
    const first = pod('203.0.113.9', { fragment }).raw(17, Buffer.alloc(40))
    assert.equal(send(node, 'from_pod', node.devices.pod8, first).verdict, 'DROP_SPOOFED_SOURCE')
    assert.equal(node.datapath.tables.fragments.count(), 0)
  })

  test('a refused flow is counted by policy, egress IP and reason', () => {
    const key = { policy: 8n, egress_ip: address('::'), verdict: 'DROP_NO_GATEWAY' }
    const before = node.datapath.tables.policy_drops.get(key) ?? 0n
    send(node, 'from_pod', node.devices.pod7, pod('192.0.2.65').udp(1, 2))
    send(node, 'from_pod', node.devices.pod7, pod('192.0.2.65').udp(1, 2))
    assert.equal(node.datapath.tables.policy_drops.get(key), before + 2n)
  })

  test('an aggregate is judged by its segments', () => {
    const packet = pod('203.0.113.9', { dontFragment: true }).tcp(40000, 443, {
      ...syn,
      payload: Buffer.alloc(2800),
    })
    const fits = send(node, 'from_pod', node.devices.pod7, packet, undefined, {
      gsoSize: 1400,
      gsoSegments: 2,
    })
    assert.equal(fits.verdict, 'SENT_TO_HOLDER')
    const tooBig = send(node, 'from_pod', node.devices.pod7, packet, undefined, {
      gsoSize: 1420,
      gsoSegments: 2,
    })
    assert.equal(tooBig.verdict, 'SENT_TOO_BIG')
  })
})
