import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { Sweep } from '../../src/agent/ports/sweep.ts'
import type { RingReader } from '../../src/datapath/maps/ring-buffer.ts'
import type { FlowEnd } from '../../src/datapath/tables/observation-tables.ts'
import { age, established, flowKey, secondNs } from './flows.ts'
import { type NodeUnderTest, openNode, ourPorts, reset, send, skip } from './node-under-test.ts'
import { ipv4 } from './packet.ts'

const udp = { protocol: 17 }
const portCount = ourPorts.last - ourPorts.first + 1

describe('the record of a flow that has ended', { skip }, () => {
  let node: NodeUnderTest
  let reader: RingReader<FlowEnd>
  let ends: FlowEnd[] = []
  before(() => {
    node = openNode({ flow_log: 1 })
    reader = node.datapath.flowEnds((end) => ends.push(end))
  })
  beforeEach(async () => {
    await reset(node)
    drain()
    ends = []
  })
  after(() => reader[Symbol.dispose]())

  const drain = (): FlowEnd[] => {
    while (reader.consume(256) > 0);
    return ends
  }
  const open = (sourcePort: number) =>
    send(node, 'from_pod', node.devices.pod7, ipv4('10.244.1.7', '203.0.113.9').udp(sourcePort, 443))

  test('has what its mapping had, when the sweep deletes it', () => {
    established({ ...udp, mapping: { packets_out: 5n, bytes_out: 500n, packets_in: 4n, bytes_in: 400n } })(
      node,
    )
    age(node, flowKey(udp), 360n * secondNs)
    const mapping = node.datapath.tables.mappings.get(flowKey(udp))
    const before = process.hrtime.bigint()
    new Sweep().run(node.datapath)
    const [end, ...others] = drain()
    assert.equal(others.length, 0)
    assert.ok(end && mapping)
    assert.deepEqual(end.flow, flowKey(udp))
    for (const field of [
      'egress_ip',
      'egress_port',
      'policy',
      'created_ns',
      'last_outward_ns',
      'last_inward_ns',
      'packets_out',
      'packets_in',
      'bytes_out',
      'bytes_in',
    ] as const)
      assert.equal(end[field], mapping[field], field)
    assert.ok(end.ended_ns >= before && end.ended_ns <= process.hrtime.bigint())
  })

  test('comes when another flow takes the port, and when the same flow starts again', () => {
    for (let index = 0; index < portCount; index++) {
      const flow = { ...udp, sourcePort: 50000 + index, egressPort: ourPorts.first + index }
      established(flow)(node)
      age(node, flowKey(flow), 360n * secondNs)
    }
    open(60000)
    open(50000)
    const ended = drain().map(({ flow }) => flow.source_port)
    assert.ok(ended.includes(50000))
    assert.equal(new Set(ended).size, ended.length)
    assert.equal(ended.length, portCount + 2 - node.datapath.tables.mappings.count())
  })

  test('stays in the ring until a process reads it, and is read once', () => {
    established(udp)(node)
    age(node, flowKey(udp), 360n * secondNs)
    reader[Symbol.dispose]()
    new Sweep().run(node.datapath)
    reader = node.datapath.flowEnds((end) => ends.push(end))
    assert.equal(drain().length, 1)
    reader[Symbol.dispose]()
    reader = node.datapath.flowEnds((end) => ends.push(end))
    assert.equal(drain().length, 1)
  })

  test('is not made of flows that no policy selects', () => {
    const flow = { ...udp, mapping: { masqueraded: true } }
    established(flow)(node)
    age(node, flowKey(flow), 360n * secondNs)
    assert.equal(new Sweep().run(node.datapath).removed, 1)
    assert.deepEqual(drain(), [])
  })

  test('is lost and counted if the ring is full, and the program still deletes the mapping', () => {
    const { mappings, ports, lost_flow_ends: lost } = node.datapath.tables
    established(udp)(node)
    const [[key, value] = assert.fail()] = [...mappings.entries()]
    const lostBefore = lost.get(0) ?? 0n
    let made = 0
    for (let round = 0; round < 4; round++) {
      for (let port = 1; port <= 10_000; port++)
        mappings.set({ ...key, source_port: port }, { ...value, last_outward_ns: 1n, last_inward_ns: 0n })
      const { removed } = new Sweep().run(node.datapath)
      made += removed
    }
    assert.equal(mappings.count() + ports.count() <= 2, true)
    const lostNow = Number((lost.get(0) ?? 0n) - lostBefore)
    assert.ok(lostNow > 5_000, `${lostNow} of ${made} lost`)
    assert.equal(drain().length, made - lostNow)
  })
})
