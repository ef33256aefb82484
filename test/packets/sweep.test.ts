import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { Sweep } from '../../src/agent/ports/sweep.ts'
import { blockOfPort } from '../../src/net/ports.ts'
import { dissect } from './dissect.ts'
import { age, established, flowKey, secondNs } from './flows.ts'
import { type NodeUnderTest, openNode, ourPorts, reset, send, skip } from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

const portCount = ourPorts.last - ourPorts.first + 1
const udp = { protocol: 17 }

describe('the sweep of what nobody wants any more', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(() => reset(node))

  /** All ports towards one destination are taken by flows that have been silent for six minutes. */
  function fillWithOldFlows(): void {
    for (let index = 0; index < portCount; index++) {
      const flow = { ...udp, sourcePort: 50000 + index, egressPort: ourPorts.first + index }
      established(flow)(node)
      age(node, flowKey(flow), 360n * secondNs)
    }
  }

  const open = (sourcePort: number) =>
    send(node, 'from_pod', node.devices.pod7, ipv4('10.244.1.7', '203.0.113.9').udp(sourcePort, 443))

  test('removes expired flows with their ports, and keeps the others', () => {
    fillWithOldFlows()
    established({ sourcePort: 40000, destination: '203.0.113.10' })(node)
    const { removed, uses } = new Sweep().run(node.datapath)
    assert.equal(removed, portCount)
    assert.deepEqual(
      [...node.datapath.tables.mappings.entries()].map(([{ source_port }]) => source_port),
      [40000],
    )
    assert.equal(node.datapath.tables.ports.count(), 1)
    const heaviest = { pod: address('10.244.1.7'), connections: 1 }
    const use = { flows: new Map([[blockOfPort(ourPorts.first), 1]]), most: 1, heaviest }
    assert.deepEqual(uses, new Map([[address('172.18.0.42'), use]]))
  })

  test('takes no port from a flow that came after the tables were read', () => {
    fillWithOldFlows()
    const { mappings, ports } = node.datapath.tables
    const read = [...mappings.entries()].map(([key]) => mappings.key.encode(key))
    const { out } = open(60000)
    node.datapath.sweep('SWEEP_MAPPING', read)
    assert.equal(mappings.get(flowKey({ ...udp, sourcePort: 60000 }))?.egress_port, dissect(out).sourcePort)
    assert.deepEqual(
      [...ports.entries()].map(([{ source_port }]) => source_port),
      [dissect(out).sourcePort],
    )
  })

  test('keeps a flow that was silent and has spoken since', () => {
    established(udp)(node)
    age(node, flowKey(udp), 290n * secondNs)
    assert.equal(open(40000).verdict, 'SENT_TO_HOLDER')
    age(node, flowKey(udp), 290n * secondNs)
    assert.equal(new Sweep().run(node.datapath).removed, 0)
  })

  test('removes a port without a mapping when it is still there a sweep later', () => {
    established(udp)(node)
    node.datapath.tables.mappings.delete(flowKey(udp))
    const sweep = new Sweep()
    assert.equal(sweep.run(node.datapath).removed, 0, 'a flow may be in the making')
    assert.equal(sweep.run(node.datapath).removed, 1)
    assert.equal(node.datapath.tables.ports.count(), 0)
  })

  test('removes a port whose flow has another', () => {
    established(udp)(node)
    established({ ...udp, egressPort: ourPorts.last })(node)
    const sweep = new Sweep()
    sweep.run(node.datapath)
    sweep.run(node.datapath)
    assert.deepEqual(
      [...node.datapath.tables.ports.entries()].map(([{ source_port }]) => source_port),
      [ourPorts.last],
    )
  })

  test('keeps a port that has got its mapping since', () => {
    established(udp)(node)
    const mapping = node.datapath.tables.mappings.get(flowKey(udp))
    assert.ok(mapping)
    node.datapath.tables.mappings.delete(flowKey(udp))
    const sweep = new Sweep()
    sweep.run(node.datapath)
    node.datapath.tables.mappings.set(flowKey(udp), mapping)
    assert.equal(sweep.run(node.datapath).removed, 0)
  })

  test('asks about more entries than one packet holds', () => {
    for (let index = 0; index < 200; index++)
      established({ ...udp, sourcePort: 1 + index, destinationPort: 1 + index })(node)
    const { tables } = node.datapath
    const old = Array.from({ length: 200 }, (_, index) => index).filter((index) => index % 3 === 0)
    for (const index of old)
      age(node, flowKey({ ...udp, sourcePort: 1 + index, destinationPort: 1 + index }), 360n * secondNs)
    assert.equal(new Sweep().run(node.datapath).removed, old.length)
    assert.equal(tables.mappings.count(), 200 - old.length)
    assert.ok([...tables.mappings.entries()].every(([{ source_port }]) => (source_port - 1) % 3 !== 0))
  })
})
