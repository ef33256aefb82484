import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  device,
  egressIp,
  FailoverUnderTest,
  other,
  owner,
  self,
  tablesWith,
} from '../../../test/support/failover-under-test.ts'
import { address } from '../../../test/support/world-builder.ts'
import { failoverProblems } from './failover-views.ts'

const behind = { [egressIp]: [owner, self] }
const port = 8472

describe('an egress IP of another node', () => {
  test('is taken over when its owner is unreachable, and handed back when the owner has been reachable for five seconds', () => {
    const node = new FailoverUnderTest().start(behind)
    node.reachable(owner)
    assert.equal(node.holds(), false)
    node.unreachable(owner)
    assert.equal(node.holds(), true)
    node.pass(1_000)
    node.reachable(owner)
    node.pass(4_999)
    assert.equal(node.holds(), true)
    node.pass(1)
    assert.equal(node.holds(), false)
    assert.deepEqual(node.state.takeovers, { takenOver: 1, handedBack: 1 })
  })

  test('stays longer each time that its owner was away again: moves are bounded', () => {
    const node = new FailoverUnderTest().start(behind)
    const waits = [0, 1, 2, 3].map(() => {
      node.unreachable(owner)
      assert.equal(node.holds(), true)
      node.reachable(owner)
      const backMs = node.nowMs
      while (node.holds()) node.pass(1_000)
      return (node.nowMs - backMs) / 1_000
    })
    assert.deepEqual(waits, [5, 10, 20, 40])
  })

  test('is not taken over before its owner was judged, nor while a successor before this node is reachable', () => {
    const node = new FailoverUnderTest().start({ [egressIp]: [owner, other, self] })
    assert.equal(node.holds(), false)
    node.reachable(other)
    node.unreachable(owner)
    assert.equal(node.holds(), false)
    node.unreachable(other)
    assert.equal(node.holds(), true)
  })

  test('is not taken over unless other nodes show that this node is not cut off', () => {
    const node = new FailoverUnderTest().start(behind)
    const verdict = { isUnreachable: true, isWitnessed: false }
    node.step({ kind: 'verdicts', changes: [[owner, verdict]] })
    assert.equal(node.holds(), false)
  })

  test('stays with the next agent, which knows whose it is and hands it back', () => {
    const next = new FailoverUnderTest(new Map([[egressIp, 'eth0']])).start(behind)
    next.pass(60_000)
    assert.equal(next.holds(), true)
    next.reachable(owner)
    next.pass(5_000)
    assert.equal(next.holds(), false)
  })

  test('is given up at once when no policy selects this node any more', () => {
    const node = new FailoverUnderTest().start(behind)
    node.unreachable(owner)
    node.apply({ [egressIp]: [owner] })
    assert.equal(node.holds(), false)
  })

  test('is a problem in words if no device is on its link', () => {
    const far = address('203.0.113.9')
    const node = new FailoverUnderTest().start({ [far]: [owner, self] })
    node.unreachable(owner)
    assert.deepEqual(failoverProblems(node.state, port), [
      'The gateway of egress IP 203.0.113.9 is unreachable, and this node cannot take the address over because none of its devices is on the same link.',
    ])
  })

  test('is given up three seconds after this node was cut off, and not taken meanwhile', () => {
    const node = new FailoverUnderTest().start({ ...behind, '192.0.2.43': [other, self] })
    node.unreachable(owner)
    node.step({ kind: 'reach', isCutOff: true })
    node.unreachable(other)
    assert.deepEqual([...node.state.held.keys()], [egressIp])
    node.pass(2_999)
    assert.equal(node.holds(), true)
    node.pass(1)
    assert.equal(node.holds(), false)
    assert.match(failoverProblems(node.state, port)[0] ?? '', /Allow UDP port 8472 between nodes/)
  })
})

describe('a failure to move addresses', () => {
  test('is a problem in words, is logged once, and is tried again every second', () => {
    const node = new FailoverUnderTest(new Map([[egressIp, 'eth0']])).start(behind)
    const fail = () => node.step({ kind: 'moveFailed', message: 'no netlink' })
    fail()
    fail()
    assert.equal(node.effects.filter(({ kind }) => kind === 'log').length, 1)
    assert.deepEqual(failoverProblems(node.state, port), ['Moving egress IPs failed: no netlink'])
    node.kinds()
    node.step({ kind: 'tick', receivesNothing: false })
    assert.deepEqual(node.kinds(), ['move'])
    assert.deepEqual(failoverProblems(node.state, port), [])
  })
})

describe('a node that the cluster does not know', () => {
  const lost = { kind: 'membershipLost', reason: 'the cluster has no Node worker.' } as const

  test('gives up all egress IPs, refuses probes, sends no probes, and reports that', () => {
    const node = new FailoverUnderTest().start(behind)
    node.unreachable(owner)
    node.step(lost)
    assert.equal(node.holds(), false)
    assert.equal(node.aliveAfterAbsence, undefined)
    assert.deepEqual(node.state.watched?.gateways, [])
    assert.deepEqual(failoverProblems(node.state, port), [
      'the cluster has no Node worker. Until then this node holds no egress IP.',
    ])
  })

  test('rejoins as a node that was absent when the cluster knows it again', () => {
    const node = new FailoverUnderTest().start(behind)
    node.step(lost)
    node.apply(behind)
    assert.equal(node.aliveAfterAbsence, undefined)
    node.relisted()
    node.settled()
    assert.equal(node.aliveAfterAbsence, 0)
  })
})

describe('addresses of this node itself', () => {
  const mine = address('192.0.2.41')

  test('are announced by a node that rejoins, if it has them and others might have taken them over', () => {
    const devices = [device({ addresses: [self, mine, egressIp] })]
    const node = new FailoverUnderTest()
    node.step({ kind: 'started' })
    node.apply(
      {
        [mine]: [self, owner],
        '192.0.2.43': [self, owner] /* its own, and on none of its devices */,
        [egressIp]: [owner, self] /* on its device since it took it over */,
        [self]: [self] /* nobody else ever has it */,
      },
      devices,
    )
    node.relisted()
    assert.deepEqual([...node.announced], [])
    node.settled()
    assert.deepEqual([...node.announced], [mine])
  })

  test('from a pool are put on the device of the default route', () => {
    const node = new FailoverUnderTest()
    const poolAddresses = new Map([[mine, { node: 'worker', interface: undefined }]])
    const tables = { ...tablesWith({ [mine]: [self] }), poolAddresses }
    node.step({ kind: 'tablesApplied', tables, lingering: new Map(), devices: [device()] })
    assert.deepEqual([...node.state.held], [[mine, 'eth0']])
    assert.deepEqual(node.state.takeovers, { takenOver: 0, handedBack: 0 })
  })

  test('from a pool are given up if the node reaches neither other nodes nor the API server, and come back', () => {
    const [shared, alone] = [mine, address('192.0.2.44')]
    const poolAddresses = new Map(
      [shared, alone].map((each) => [each, { node: 'worker', interface: undefined }] as const),
    )
    const tables = { ...tablesWith({ [shared]: [self, owner], [alone]: [self] }), poolAddresses }
    const node = new FailoverUnderTest()
    node.step({ kind: 'tablesApplied', tables, lingering: new Map(), devices: [device()] })
    const deaf = { receivesNothing: true }
    const wait = (ms: number, how = {}): boolean => {
      for (let passed = 0; passed < ms; passed += 1_000) node.pass(1_000, how)
      return node.holds(shared)
    }
    assert.equal(wait(60_000, deaf), true, 'the API server alone is away')
    node.step({ kind: 'reach', isCutOff: true })
    assert.equal(wait(60_000), true, 'the tunnel alone is cut')
    assert.equal(wait(10_000, deaf), true)
    assert.equal(wait(1_000, deaf), false)
    assert.equal(node.holds(alone), true, 'no other gateway may answer for this one')
    assert.match(
      failoverProblems(node.state, port).join(),
      /This node has given up egress IP 192\.0\.2\.41 to other gateways, because it reaches neither them nor the API server\./,
    )
    node.kinds()
    assert.equal(wait(1_000), true, 'the API server answers again')
    assert.ok(node.announced.has(shared))
    assert.deepEqual(node.state.takeovers, { takenOver: 0, handedBack: 0 })
  })
})
