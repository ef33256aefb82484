import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { block, PulseUnderTest, skip, standStill, until } from './pulse-under-test.ts'

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

  test('counts as alive while its next agent starts, where it is stopped in good order', async () => {
    await node.becomeWell()
    await node.pulse.leave()
    assert.ok(node.aliveForMs > 50_000, `${node.aliveForMs} ms`)
  })
})
