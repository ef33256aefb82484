import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { dissect } from './dissect.ts'
import { established, secondNs } from './flows.ts'
import { cases, delivered } from './from-pod-chained-cases.ts'
import {
  type NodeUnderTest,
  openNode,
  ourPorts,
  reset,
  send,
  skip,
  standardTables,
} from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

const pod = (destination: string, fields = {}) => ipv4('10.244.1.7', destination, fields)
const syn = { flags: ['SYN'] } as const
const ack = { flags: ['ACK'] } as const

describe('a packet leaves a pod that another plugin has wired', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode({ chained: 1 })
  })
  beforeEach(() => reset(node))

  for (const { name, device = 'pod7', given, packet, verdict } of cases)
    test(name, async () => {
      await given?.(node)
      const journey = send(node, 'from_pod', node.devices[device], packet)
      assert.equal(journey.verdict, verdict)
      if (!verdict.startsWith('PASS')) return
      assert.equal(journey.action, -1)
      assert.deepEqual(journey.out, packet)
    })

  test('what a policy claims is translated with a port of this node', () => {
    const { verdict, out } = send(
      node,
      'from_pod',
      node.devices.pod7,
      pod('203.0.113.9').tcp(40000, 443, syn),
    )
    assert.equal(verdict, 'SENT_TO_HOLDER')
    const { source, sourcePort = 0 } = dissect(out)
    assert.equal(source, address('172.18.0.42'))
    assert.ok(sourcePort >= ourPorts.first && sourcePort <= ourPorts.last, `${sourcePort}`)
  })

  test('its answers are handed into the pod, without the stack', () => {
    established()(node)
    const answer = ipv4('203.0.113.9', '172.18.0.42').tcp(443, ourPorts.first, ack)
    assert.equal(send(node, 'from_world', node.devices.pod7, answer).verdict, 'SENT_TO_POD')
  })

  test('datagrams that a predecessor of the pod exchanged are none of its own', async () => {
    await delivered(ipv4('203.0.113.9', '10.244.1.7').udp(53, 40000))(node)
    const tables = standardTables(node)
    const pods = new Map(tables.pods)
    const before = pods.get(address('10.244.1.7'))
    assert.ok(before)
    pods.set(address('10.244.1.7'), { ...before, sinceNs: process.hrtime.bigint() + secondNs })
    await node.datapath.apply({ ...tables, pods })
    const { verdict } = send(node, 'from_pod', node.devices.pod7, pod('203.0.113.9').udp(40000, 53))
    assert.equal(verdict, 'SENT_TO_HOLDER')
  })

  test('traffic within the cluster leaves nothing behind', async () => {
    await delivered(ipv4('10.244.2.9', '10.244.1.7').tcp(80, 40000, ack))(node)
    assert.deepEqual([...node.datapath.tables.inbound.entries()], [])
  })
})
