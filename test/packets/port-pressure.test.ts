import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import type { PressureRecord } from '../../src/datapath/tables/observation-tables.ts'
import { flowKey } from './flows.ts'
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

const portCount = ourPorts.last - ourPorts.first + 1
const crowded = { address: address('172.18.0.42'), purpose: 'egress' as const }

describe('a pool that runs low', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(async () => {
    await reset(node)
    for (const [key] of [...node.datapath.tables.pool_pressures.entries()])
      node.datapath.tables.pool_pressures.delete(key)
  })

  /** Opens flows to one destination; the verdicts that came up. */
  function open(count: number, from = 40000, destination = '203.0.113.9'): readonly string[] {
    const verdicts = Array.from({ length: count }, (_, index) => {
      const syn = ipv4('10.244.1.7', destination).tcp(from + index, 443, { flags: ['SYN'] })
      return send(node, 'from_pod', node.devices.pod7, syn).verdict
    })
    return [...new Set(verdicts)]
  }

  /** All ports towards the destination are taken, as if by flows of a moment ago. */
  function fill(): void {
    for (let source = 50000; node.datapath.tables.ports.count() < portCount; source++) {
      assert.ok(source < 60000, 'the pool does not fill')
      open(1, source)
    }
    for (const [key] of [...node.datapath.tables.pool_pressures.entries()])
      node.datapath.tables.pool_pressures.delete(key)
  }

  /** The first record of what `act` does: the ring still holds older ones. */
  async function firstRecord(act: () => void): Promise<PressureRecord> {
    const stop = new AbortController()
    const startNs = process.hrtime.bigint()
    act()
    for await (const record of node.datapath.pressure(stop.signal))
      if (record.time_ns >= startNs) return record
    throw new Error('the ring has ended')
  }

  test('says nothing while it is free', () => {
    open(1)
    assert.equal(node.datapath.tables.pool_pressures.count(), 0)
  })
  test('says which address it is of, how hard it was, and that a flow found nothing', async () => {
    fill()
    const record = await firstRecord(() => assert.deepEqual(open(1), ['DROP_NO_FREE_PORT']))
    assert.equal(record.port.source, '172.18.0.42')
    assert.equal(record.tries, 32)
    assert.equal(record.refused, 1)
  })
  test('says it once in a while, and counts meanwhile', () => {
    fill()
    open(1)
    assert.equal(node.datapath.tables.pool_pressures.get(crowded)?.refused, 1)
    node.datapath.tables.pool_pressures.set(crowded, {
      reported_ns: process.hrtime.bigint() + 10n ** 12n,
      refused: 0,
    })
    open(7)
    assert.equal(node.datapath.tables.pool_pressures.get(crowded)?.refused, 7)
  })
  test('speaks early: flows that found a port after eight tries in vain say so', () => {
    fill()
    /* A pod with many flows gets no port that is kept for others: the last of every four. */
    const taken = [...node.datapath.tables.ports.entries()].find(([port]) => port.source_port % 4 !== 3)
    assert.ok(taken)
    node.datapath.tables.ports.delete(taken[0])
    node.datapath.tables.mappings.delete(taken[1])
    for (let source = 40000; source < 40400; source++) {
      node.datapath.tables.pool_pressures.delete(crowded)
      if (open(1, source)[0] !== 'SENT_TO_HOLDER') continue
      const mapping = node.datapath.tables.mappings.get(flowKey({ sourcePort: source }))
      const said = node.datapath.tables.pool_pressures.get(crowded)
      if (said !== undefined) {
        assert.equal(said.refused, 0)
        return
      }
      node.datapath.tables.ports.delete({ ...taken[0], source_port: mapping?.egress_port ?? 0 })
      node.datapath.tables.mappings.delete(flowKey({ sourcePort: source }))
    }
    assert.fail('nobody said anything')
  })
  test('of which nothing is left translates nothing, and other destinations are as ever', () => {
    fill()
    assert.deepEqual(open(64), ['DROP_NO_FREE_PORT'])
    assert.deepEqual(open(portCount / 4, 40000, '203.0.113.10'), ['SENT_TO_HOLDER'])
  })
  test('of an address that this node has no port of asks, too', async () => {
    const tables = standardTables(node)
    await node.datapath.apply({
      ...tables,
      pools: tables.pools.filter(({ purpose }) => purpose !== 'egress'),
    })
    const record = await firstRecord(() => assert.deepEqual(open(1), ['DROP_NO_FREE_PORT']))
    assert.deepEqual([record.port.source, record.tries, record.refused], ['172.18.0.42', 0, 1])
  })
  test('for masquerading asks for nothing: nobody can give it more', async () => {
    const tables = standardTables(node)
    await node.datapath.apply({ ...tables, pools: [] })
    const syn = ipv4('10.244.1.8', '192.0.2.1').tcp(40000, 443, { flags: ['SYN'] })
    assert.equal(send(node, 'from_pod', node.devices.pod8, syn).verdict, 'DROP_NO_FREE_PORT')
    assert.equal(node.datapath.tables.pool_pressures.count(), 0)
  })
  test('grows at once by what the agent adds', async () => {
    fill()
    const tables = standardTables(node)
    const leased = [100, 101]
    await node.datapath.apply({
      ...tables,
      pools: tables.pools.map((pool) =>
        pool.address === crowded.address ? { ...pool, blocks: [...leased, ...pool.blocks] } : pool,
      ),
    })
    open(16)
    const ports = [...node.datapath.tables.ports.entries()].map(([key]) => key.source_port >> 4)
    assert.ok(ports.some((block) => leased.includes(block)))
  })
})
