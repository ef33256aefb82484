import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  device,
  egressIp,
  FailoverUnderTest,
  owner,
  self,
} from '../../../test/support/failover-under-test.ts'

test('an egress IP whose interface failed moves to the successor at once, and back when the owner has it again', () => {
  const node = new FailoverUnderTest().start({ [egressIp]: [owner, self] })
  node.reachable(owner)
  node.nowMs += 60_000
  assert.equal(node.state.held.has(egressIp), false)
  node.apply({ [egressIp]: [self] }, [device()], [egressIp])
  assert.equal(node.state.held.get(egressIp), 'eth0')
  assert.equal(node.announced.has(egressIp), true)
  node.nowMs += 60_000
  node.step({ kind: 'tick', receivesNothing: false })
  assert.equal(node.state.held.has(egressIp), true)
  node.apply({ [egressIp]: [owner, self] })
  node.reachable(owner)
  node.nowMs += 5_000
  node.step({ kind: 'tick', receivesNothing: false })
  assert.equal(node.state.held.has(egressIp), false)
})

test('an egress IP of the node itself is not added to another device', () => {
  const node = new FailoverUnderTest().start({ [egressIp]: [self, owner] })
  assert.equal(node.state.held.has(egressIp), false)
})
