import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { FailoverMoments } from '../../src/agent/failover/failover-moments.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import type { Logger } from '../../src/runtime/log.ts'
import { established } from './flows.ts'
import { type NodeUnderTest, openNode, ourPorts, reset, send, skip } from './node-under-test.ts'
import { address, ipv4 } from './packet.ts'

const [egressIp, other] = ['172.18.0.42', '172.18.0.43'].map(address)
const log = { warn: (...words: unknown[]) => assert.fail(String(words)) } as unknown as Logger

describe('what a failover looked like', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  after(() => node.datapath[Symbol.asyncDispose]())
  beforeEach(async () => {
    await reset(node)
    established()(node)
  })

  test('the agent notes the first packet that comes back after the node has sent to another gateway', async () => {
    assert.ok(egressIp !== undefined && other !== undefined)
    using moments = new FailoverMoments({ tables: node.datapath.tables, clock: systemClock, log })
    const failed = address('172.18.0.4')
    moments.moved({ egressIp: other, gateway: failed, ms: 400 })
    moments.moved({ egressIp, gateway: failed, ms: 400 })
    await sleep(150)
    assert.equal(moments.list.length, 0)
    const sentNs = process.hrtime.bigint()
    const back = ipv4('203.0.113.9', '172.18.0.42').tcp(443, ourPorts.first, { flags: ['ACK'] })
    assert.equal(send(node, 'from_world', node.devices.world, back).verdict, 'SENT_TO_POD')
    const deadline = Date.now() + 5_000
    while (moments.list.length === 0 && Date.now() < deadline) await sleep(10)
    assert.deepEqual(
      moments.list.map((each) => [each.kind, each.egressIp]),
      [['flowsBack', egressIp]],
    )
    /* The programs have the time of the last tick. */
    const lateNs = Number((moments.list[0]?.atNs ?? 0n) - sentNs)
    assert.ok(lateNs > -20e6 && lateNs < 20e6, `${lateNs} ns`)
    const { afterMs = 0 } = moments.list[0] ?? {}
    assert.ok(afterMs > 540 && afterMs < 5_000, `${afterMs} ms`)
  })

  test('has the last 64 announcements', () => {
    const moments = new FailoverMoments({ tables: node.datapath.tables, clock: systemClock, log })
    for (let last = 0; last < 70; last++) moments.announced(address(`192.0.2.${last}`))
    assert.equal(moments.list.length, 64)
    assert.deepEqual(moments.list.at(-1)?.egressIp, '192.0.2.69')
  })
})
