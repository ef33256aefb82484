import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import {
  block,
  ProberUnderTest,
  skip,
  standStill,
  until,
} from '../../../../test/support/prober-under-test.ts'
import { address } from '../../../../test/support/world-builder.ts'

/** One node, from its first table to its last. */
describe('the thread of a node', { skip, timeout: 60_000 }, () => {
  let node: ProberUnderTest
  before(() => {
    node = new ProberUnderTest()
  })
  after(() => node.datapath[Symbol.asyncDispose]())

  test('counts as alive once its tables hold, and never for longer than it takes to miss it', async () => {
    await node.becomeAlive()
    assert.ok(node.aliveForMs <= 200, `${node.aliveForMs} ms`)
  })

  test('that stood still does not count as alive before its tables are known to hold what was said since', async () => {
    const { absence } = node.state
    await standStill(1)
    await until(() => node.state.absence > absence)
    node.answerProbes(absence)
    await standStill(1)
    assert.ok(node.aliveForMs <= 0, 'what its tables held before says nothing')
    await node.becomeAlive()
  })

  test('whose agent is busy for a second is alive all the while', () => {
    /* The machine may be busy, too, so that the other thread does not move: hardly five times. */
    const isAlive = [1, 2, 3, 4, 5].some(() => {
      block(1_000)
      return node.aliveForMs > 0
    })
    assert.ok(isAlive)
  })

  test('whose agent does not move for seconds is dead, and alive again only when the agent says so', async () => {
    await node.becomeAlive()
    const { absence } = node.state
    block(4_000)
    assert.ok(node.aliveForMs <= 0)
    await until(() => node.state.absence > absence)
    assert.ok(node.aliveForMs <= 0)
    await node.becomeAlive()
  })

  const gateway = address('192.0.2.9')
  const witness = address('192.0.2.8')
  const isUnreachable = (): boolean | undefined => node.verdict(gateway)?.isUnreachable

  test('judges no gateway before it had time to answer', async () => {
    node.watch({ gateways: [gateway], witnesses: [witness], sharesEgressIp: true })
    assert.equal(isUnreachable(), undefined)
    await node.see(gateway, true)
    await until(() => isUnreachable() === false)
  })

  test('finds a gateway unreachable that does not answer, and reachable when it does', async () => {
    for (const answers of [false, true]) {
      await node.see(gateway, answers)
      await until(() => isUnreachable() === !answers)
      assert.ok(!node.isAvoided(gateway))
    }
  })

  test('avoids a gateway for a while that came and went three times, although it answers', async () => {
    for (const answers of [false, true, false]) {
      await node.see(gateway, answers)
      await until(() => isUnreachable() === !answers)
    }
    await until(() => node.isAvoided(gateway))
    await node.see(gateway, true)
    await setTimeout(500)
    assert.equal(isUnreachable(), true)
    await until(() => isUnreachable() === false)
    assert.ok(!node.isAvoided(gateway))
  })

  test('reports that it reaches no node, and that it reaches one again', async () => {
    for (const each of [gateway, witness]) await node.see(each, false)
    await until(() => node.state.cutOffSinceMs !== undefined)
    await until(() => isUnreachable() === true)
    assert.equal(node.verdict(gateway)?.isWitnessed, false)
    await node.see(witness, true)
    await until(() => node.state.cutOffSinceMs === undefined)
    await until(() => node.verdict(gateway)?.isWitnessed === true)
  })

  test('reports whether a gateway answers by the link, as long as it probes the gateway', async () => {
    const { links } = node.datapath.tables
    const mac = '02:00:00:00:00:09'
    const link = { probeSource: address('192.0.2.42'), ifindex: 1, mtu: 1500, mac, ownMac: mac }
    const nowNs = process.hrtime.bigint()
    for (const answers of [true, false]) {
      links.set(gateway, { ...link, answeredNs: answers ? 2n * nowNs : 0n })
      await until(() => node.state.byLink.has(gateway) === answers)
    }
    assert.deepEqual(node.state.pathChanges, { link: 1, tunnel: 1 })
  })

  test('forgets a gateway that it does not probe any more', async () => {
    node.watch({ gateways: [], witnesses: [], sharesEgressIp: false })
    await until(() => node.datapath.tables.probed_gateways.get(gateway) === undefined)
  })

  test('counts as alive while the next agent starts, if it was stopped in order', async () => {
    await node.becomeAlive()
    await node.leave()
    assert.ok(node.aliveForMs > 50_000, `${node.aliveForMs} ms`)
  })
})
