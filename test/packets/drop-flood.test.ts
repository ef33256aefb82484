import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DropRecord } from '../../src/datapath/tables/observation-tables.ts'
import { openNode, reset, skip } from './node-under-test.ts'
import { ipv4 } from './packet.ts'

const flood = 1000
const budget = 5

test('a flood of drops is counted whole, and reported as far as a CPU may', { skip }, async () => {
  const node = openNode({ drop_records: budget, drop_window_ns: 10n ** 15n })
  await reset(node)
  const spoofed = ipv4('10.244.1.8', '203.0.113.9').udp(40000, 53)
  node.datapath.testRun('from_pod', spoofed, { ifindex: node.devices.pod7 }, flood)
  const dropped = node.datapath.counts().find(({ verdict }) => verdict === 'DROP_SPOOFED_SOURCE')
  assert.equal(dropped?.packets, BigInt(flood))
  const stop = new AbortController()
  const records: DropRecord[] = []
  for await (const record of node.datapath.drops(stop.signal)) {
    records.push(record)
    setImmediate(() => stop.abort())
  }
  assert.deepEqual(
    records.map(({ verdict }) => verdict),
    Array.from({ length: budget }, () => 'DROP_SPOOFED_SOURCE'),
  )
})
