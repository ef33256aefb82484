import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { PulseUnderTest, skip, until } from './pulse-under-test.ts'

/** One node, from its first table to its last. */
describe('a node', { skip, timeout: 60_000 }, () => {
  let node: PulseUnderTest
  before(() => {
    node = new PulseUnderTest()
  })
  after(() => node.datapath[Symbol.asyncDispose]())

  test('counts as alive once its tables hold, and never for longer than it takes to miss it', async () => {
    node.pulse.setWell()
    await until(() => node.aliveForMs > 0)
    assert.ok(node.aliveForMs <= 200, `${node.aliveForMs} ms`)
  })

  test('counts as alive while its next agent starts, where it is stopped in good order', async () => {
    await node.pulse.leave()
    assert.ok(node.aliveForMs > 50_000, `${node.aliveForMs} ms`)
  })
})
