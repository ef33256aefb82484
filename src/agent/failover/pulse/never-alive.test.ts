import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PulseUnderTest, skip } from '../../../../test/support/pulse-under-test.ts'

test('an agent whose tables never held does not count as alive when it is stopped', { skip }, async () => {
  const node = new PulseUnderTest()
  await node.pulse.leave()
  assert.ok(node.aliveForMs <= 0, `alive for ${node.aliveForMs} ms`)
  await node.datapath[Symbol.asyncDispose]()
})
