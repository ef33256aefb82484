import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProberUnderTest, skip } from '../../../../test/support/prober-under-test.ts'

test('an agent whose tables never held does not count as alive when it is stopped', { skip }, async () => {
  const node = new ProberUnderTest()
  await node.leave()
  assert.ok(node.aliveForMs <= 0, `alive for ${node.aliveForMs} ms`)
  await node.datapath[Symbol.asyncDispose]()
})
