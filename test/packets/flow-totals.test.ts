import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { FlowTotals } from '../../src/agent/api/metrics/flow-totals.ts'
import { Sweep } from '../../src/agent/ports/sweep.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { age, established, flowKey, secondNs } from './flows.ts'
import { type NodeUnderTest, openNode, ourPorts, reset, send, skip } from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

const egressIp = address('172.18.0.42')

describe('the sums of a policy’s flows', { skip }, () => {
  let node: NodeUnderTest
  let totals: FlowTotals
  let refreshed: Promise<void>
  before(() => {
    node = openNode()
  })
  beforeEach(async () => {
    await refreshed
    await reset(node)
    const { ended_flows } = node.datapath.tables
    for (const [key] of [...ended_flows.entries()]) ended_flows.delete(key)
    /* By this clock, readings take no time, so another one is always due. */
    totals = new FlowTotals(node.datapath, { ...systemClock, monotonicMs: () => 0 })
  })

  const out = (sourcePort: number) =>
    send(node, 'from_pod', node.devices.pod7, ipv4('10.244.1.7', '203.0.113.9').udp(sourcePort, 443))
  const back = (egressPort: number) =>
    send(node, 'from_world', node.devices.world, ipv4('203.0.113.9', '172.18.0.42').udp(443, egressPort))
  const read = async () => {
    refreshed = totals.refresh()
    await refreshed
    return totals.reading
  }
  const sums = async () => {
    const { totals: rows } = await read()
    return rows.find(({ policy }) => policy === 7n)
  }
  /** Ethernet, IPv4, UDP and the builder's payload. */
  const size = 14 + 20 + 8 + 5

  test('count open flows, their packets and bytes both ways, and the ports that they have', async () => {
    for (const port of [1, 2]) out(port)
    out(1)
    const ports = [...node.datapath.tables.mappings.entries()].map(([, { egress_port }]) => egress_port)
    back(ports[0] ?? 0)
    assert.deepEqual(await sums(), {
      ...{ policy: 7n, egressIp, open: 2, opened: 2, packetsOut: 3, packetsIn: 1 },
      ...{ bytesOut: 3 * size, bytesIn: size },
    })
    const { entries, portsUsed } = totals.reading
    assert.equal(entries, 2)
    assert.deepEqual([...portsUsed], [[egressIp, new Set(ports).size]])
  })

  test('keep what flows had counted that the sweep deleted', async () => {
    out(1)
    const before = await sums()
    age(node, flowKey({ protocol: 17, sourcePort: 1 }), 360n * secondNs)
    assert.equal(new Sweep().run(node.datapath).removed, 1)
    assert.deepEqual(await sums(), { ...before, open: 0 })
    out(2)
    assert.deepEqual(await sums(), {
      ...{ policy: 7n, egressIp, open: 1, opened: 2, packetsOut: 2, packetsIn: 0 },
      ...{ bytesOut: 2 * size, bytesIn: 0 },
    })
  })

  test('keep what flows had counted whose ports others reclaimed', async () => {
    const count = ourPorts.last - ourPorts.first + 1
    for (let index = 0; index < count; index++) {
      const flow = { protocol: 17, sourcePort: 50_000 + index, egressPort: ourPorts.first + index }
      established(flow)(node)
      age(node, flowKey(flow), 360n * secondNs)
    }
    const before = await sums()
    out(1)
    const after = await sums()
    assert.equal(after?.open, count)
    assert.equal(after?.opened, count + 1)
    assert.equal(after?.packetsOut, (before?.packetsOut ?? 0) + 1)
  })

  test('never go back, although a flow can end while the table is read', async () => {
    out(1)
    const before = await sums()
    node.datapath.tables.mappings.delete(flowKey({ protocol: 17, sourcePort: 1 }))
    out(2)
    out(2)
    const after = await sums()
    assert.equal(after?.opened, before?.opened)
    assert.equal(after?.packetsOut, 2)
  })

  test('leave the process its turns while a long table is read', async () => {
    const { mappings } = node.datapath.tables
    out(1)
    const [[key, value] = assert.fail('there is a mapping')] = [...mappings.entries()]
    for (let port = 1; port <= 40_000; port++) mappings.set({ ...key, source_port: port }, value)
    let turns = 0
    const counting = setInterval(() => turns++, 1)
    const { entries } = await read()
    clearInterval(counting)
    assert.equal(entries, 40_000)
    assert.ok(turns > 10, `${turns} turns`)
  })
})
