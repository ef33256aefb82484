import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import {
  device,
  egressIp,
  FailoverUnderTest,
  owner,
  self,
} from '../../../test/support/failover-under-test.ts'

describe('a node that starts', () => {
  let node: FailoverUnderTest
  const timeOut = (hasTables: boolean) =>
    node.step({ kind: 'relistTimedOut', rejoin: node.state.rejoins, hasTables })
  beforeEach(() => {
    node = new FailoverUnderTest()
    node.step({ kind: 'started' })
  })

  test('is quiet until it has relisted everything, and answers probes when its tables hold that', () => {
    assert.deepEqual(node.kinds(), ['stopAnnouncing', 'relist'])
    assert.equal(node.aliveAfterAbsence, undefined)
    node.relisted()
    assert.deepEqual(node.kinds(), ['settle'])
    assert.equal(node.aliveAfterAbsence, undefined)
    node.settled()
    assert.deepEqual(node.kinds(), ['answerProbes'])
    assert.equal(node.aliveAfterAbsence, 0)
  })

  test('answers probes with the tables that it has if the API server does not answer, and settles again when it does', () => {
    node.kinds()
    timeOut(true)
    node.settled()
    assert.deepEqual(node.kinds(), ['settle', 'answerProbes'])
    node.relisted()
    node.settled()
    assert.deepEqual(node.kinds(), ['settle', 'answerProbes'])
  })

  test('settles again also if the API server answers while the old tables are written', () => {
    node.kinds()
    timeOut(true)
    node.relisted()
    assert.deepEqual(node.kinds(), ['settle'])
    node.settled()
    assert.deepEqual(node.kinds(), ['answerProbes', 'settle'])
    node.settled()
    assert.deepEqual(node.kinds(), ['answerProbes'])
  })

  test('stays quiet if the API server does not answer and there are no tables', () => {
    timeOut(false)
    assert.deepEqual(node.kinds(), ['stopAnnouncing', 'relist'])
    node.relisted()
    node.settled()
    assert.equal(node.aliveAfterAbsence, 0)
  })

  test('does not answer probes by tables that could not be written, and retries after a second', () => {
    node.relisted()
    node.step({ kind: 'settleFailed', rejoin: node.state.rejoins })
    assert.equal(node.aliveAfterAbsence, undefined)
    const delays = node.effects.flatMap((effect) => (effect.kind === 'settle' ? effect.afterMs : []))
    assert.deepEqual(delays, [0, 1_000])
    node.settled()
    assert.equal(node.aliveAfterAbsence, 0)
  })

  test('and is absent meanwhile begins again', () => {
    const first = node.state.rejoins
    node.step({ kind: 'absent', absence: 1, ms: 400 })
    node.relisted(first)
    node.settled(first)
    assert.equal(node.aliveAfterAbsence, undefined)
    node.relisted()
    node.settled()
    assert.equal(node.aliveAfterAbsence, 1)
  })

  test('counts as alive at once if the agent before was stopped in good order', () => {
    const next = new FailoverUnderTest()
    next.step({ kind: 'predecessorIsAlive' })
    assert.equal(next.aliveAfterAbsence, 0)
  })
})

describe('a node whose own egress IP others may take over', () => {
  const mine = { [egressIp]: [self, owner] }
  const devices = (hasCarrier: boolean) => [device({ addresses: [self, egressIp], hasCarrier })]

  test('rejoins when its link is back', () => {
    const node = new FailoverUnderTest().start(mine, devices(true))
    node.apply(mine, devices(false))
    assert.equal(node.kinds().includes('relist'), false)
    node.apply(mine, devices(true))
    assert.deepEqual(node.kinds().slice(-2), ['stopAnnouncing', 'relist'])
    node.relisted()
    node.settled()
    assert.ok(node.announced.has(egressIp))
  })

  test('rejoins when it reaches others again', () => {
    const node = new FailoverUnderTest().start(mine, devices(true))
    node.step({ kind: 'reach', isCutOff: true })
    node.kinds()
    node.step({ kind: 'reach', isCutOff: false })
    assert.deepEqual(node.kinds(), ['move', 'stopAnnouncing', 'relist', 'reconcile'])
  })

  test('relists once, however many signs there are that it is back', () => {
    const node = new FailoverUnderTest().start(mine, devices(true))
    for (let times = 0; times < 3; times++) {
      node.step({ kind: 'reach', isCutOff: true })
      node.step({ kind: 'reach', isCutOff: false })
    }
    assert.equal(node.kinds().filter((kind) => kind === 'relist').length, 1)
  })

  test('a node without such an address does not rejoin when it reaches its gateway again', () => {
    const node = new FailoverUnderTest().start({ [egressIp]: [owner] })
    node.step({ kind: 'reach', isCutOff: true })
    node.step({ kind: 'reach', isCutOff: false })
    assert.equal(node.kinds().includes('relist'), false)
  })
})
