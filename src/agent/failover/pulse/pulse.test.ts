import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { block, PulseUnderTest, skip, standStill, until } from '../../../../test/support/pulse-under-test.ts'
import { address } from '../../../../test/support/world-builder.ts'

/** One node, from its first table to its last. */
describe('a node', { skip, timeout: 60_000 }, () => {
  let node: PulseUnderTest
  before(() => {
    node = new PulseUnderTest()
  })
  after(() => node.datapath[Symbol.asyncDispose]())

  test('counts as alive once its tables hold, and never for longer than it takes to miss it', async () => {
    await node.becomeWell()
    assert.ok(node.aliveForMs <= 200, `${node.aliveForMs} ms`)
  })

  test('that stood still is not well before its tables are known to hold what was said since', async () => {
    const { lapse } = node.pulse
    await standStill(1)
    await until(() => node.pulse.lapse > lapse)
    node.pulse.setWell(lapse)
    await standStill(1)
    assert.ok(node.aliveForMs <= 0, 'what was well before says nothing')
    await node.becomeWell()
  })

  test('whose agent is busy for a second is alive all the while', () => {
    /* The machine may be busy, too, so that the other thread does not move: hardly five times. */
    const isAlive = [1, 2, 3, 4, 5].some(() => {
      block(1_000)
      return node.aliveForMs > 0
    })
    assert.ok(isAlive)
  })

  test('whose agent does not move for seconds is dead, and well again only when it says so', async () => {
    await node.becomeWell()
    const { lapse } = node.pulse
    block(4_000)
    assert.ok(node.aliveForMs <= 0)
    await until(() => node.pulse.lapse > lapse)
    assert.ok(node.aliveForMs <= 0)
    await node.becomeWell()
  })

  const gateway = address('192.0.2.9')
  const witness = address('192.0.2.8')
  const isSilent = (): boolean | undefined => node.pulse.lives.get(gateway)?.isSilent

  test('judges nobody before there was time to hear them', async () => {
    node.pulse.watch({ gateways: [gateway], witnesses: [witness], sharesEgressIp: true })
    assert.deepEqual(node.pulse.silent, new Set())
    await node.see(gateway, true)
    await until(() => isSilent() === false)
  })

  test('takes a gateway for dead that it does not hear, and for alive when it does', async () => {
    for (const isHeard of [false, true]) {
      await node.see(gateway, isHeard)
      await until(() => isSilent() === !isHeard)
      assert.ok(!node.isDistrusted(gateway))
    }
  })

  test('leaves one alone for a while that came and went three times, though it hears it', async () => {
    for (const isHeard of [false, true, false]) {
      await node.see(gateway, isHeard)
      await until(() => isSilent() === !isHeard)
    }
    await until(() => node.isDistrusted(gateway))
    await node.see(gateway, true)
    await setTimeout(500)
    assert.equal(isSilent(), true)
    await until(() => isSilent() === false)
    assert.ok(!node.isDistrusted(gateway))
  })

  test('reports that it reaches nobody, and that it reaches somebody again', async () => {
    for (const each of [gateway, witness]) await node.see(each, false)
    await until(() => node.pulse.cutOffSinceMs !== undefined)
    await until(() => isSilent() === true)
    assert.equal(node.pulse.lives.get(gateway)?.isWitnessed, false)
    await node.see(witness, true)
    await until(() => node.pulse.cutOffSinceMs === undefined)
    await until(() => node.pulse.lives.get(gateway)?.isWitnessed === true)
  })

  test('knows nothing any more of a gateway that it does not listen for', async () => {
    node.pulse.watch({ gateways: [], witnesses: [], sharesEgressIp: false })
    assert.equal(isSilent(), undefined)
    await until(() => node.datapath.tables.probed_gateways.get(gateway) === undefined)
  })

  test('counts as alive while its next agent starts, where it is stopped in good order', async () => {
    await node.becomeWell()
    await node.pulse.leave()
    assert.ok(node.aliveForMs > 50_000, `${node.aliveForMs} ms`)
  })
})
