import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  device,
  egressIp,
  FailoverUnderTest,
  other,
  owner,
  self,
} from '../../../test/support/failover-under-test.ts'
import { address } from '../../../test/support/world-builder.ts'
import { giveUpAfterMs } from '../../decide/gateways/takeover.ts'
import type { Address } from '../../net/address.ts'

/*
 * Whatever happens in whatever order: invariants of a node that owns one address, and is a successor for two others.
 */

const mine = address('192.0.2.41')
const second = address('192.0.2.43')
const orders = { [mine]: [self, owner], [egressIp]: [owner, self], [second]: [owner, other, self] }
const fewer = { [mine]: [self, owner], [egressIp]: [owner, self] }

type Action = (node: FailoverUnderTest) => void

const verdictOf = fc.record({ isUnreachable: fc.boolean(), isWitnessed: fc.boolean() })
const gateway = fc.constantFrom(owner, other)
/** Of the last rejoin, or of an earlier one. */
const rejoinBefore = fc.integer({ min: 0, max: 2 })
const devicesWith = (hasCarrier: boolean) => [device({ addresses: [self, mine], hasCarrier })]

const action: fc.Arbitrary<Action> = fc.oneof(
  fc.tuple(gateway, verdictOf).map(
    ([of, verdict]): Action =>
      (node) =>
        node.step({ kind: 'verdicts', changes: [[of, verdict]] }),
  ),
  fc.boolean().map(
    (isCutOff): Action =>
      (node) => {
        if (isCutOff !== (node.state.cutOffSinceMs !== undefined)) node.step({ kind: 'reach', isCutOff })
      },
  ),
  fc.tuple(fc.constantFrom(orders, fewer), fc.boolean()).map(
    ([of, hasCarrier]): Action =>
      (node) =>
        node.apply(of, devicesWith(hasCarrier)),
  ),
  fc.constant<Action>((node) => node.step({ kind: 'membershipLost', reason: 'unknown.' })),
  fc.constant<Action>((node) => node.step({ kind: 'absent', absence: node.state.absence + 1, ms: 400 })),
  rejoinBefore.map(
    (before): Action =>
      (node) =>
        node.relisted(node.state.rejoins - before),
  ),
  rejoinBefore.map(
    (before): Action =>
      (node) =>
        node.settled(node.state.rejoins - before),
  ),
  rejoinBefore.map(
    (before): Action =>
      (node) =>
        node.step({ kind: 'settleFailed', rejoin: node.state.rejoins - before }),
  ),
  fc.tuple(rejoinBefore, fc.boolean()).map(
    ([before, hasTables]): Action =>
      (node) =>
        node.step({ kind: 'relistTimedOut', rejoin: node.state.rejoins - before, hasTables }),
  ),
  fc.constantFrom(50, 1_000, 5_000, 60_000).map(
    (ms): Action =>
      (node) =>
        node.pass(ms),
  ),
)

function violation(node: FailoverUnderTest, before: ReadonlySet<Address>): string | undefined {
  const { held, cutOffSinceMs, noMemberBecause, rejoin, absence } = node.state
  const added = [...held.keys()].filter((each) => !before.has(each))
  const isQuiet = rejoin?.isQuiet === true
  const kinds = node.kinds()
  if (cutOffSinceMs !== undefined && added.length > 0) return 'a node that is cut off takes nothing over'
  if (noMemberBecause !== undefined && held.size > 0) return 'a node that is no member holds nothing'
  if (noMemberBecause !== undefined && node.aliveAfterAbsence !== undefined)
    return 'a node that is no member refuses probes'
  if (isQuiet && node.announced.size > 0) return 'a node that rejoins announces nothing'
  if (isQuiet && added.length > 0 && !kinds.includes('stopAnnouncing'))
    return 'a node that rejoins takes nothing over'
  if (isQuiet && node.aliveAfterAbsence === absence && absence > 0 && kinds.includes('answerProbes'))
    return 'a node that was absent answers probes only when it has rejoined'
  if (held.has(mine)) return 'an address that the node has by itself is never added'
  return undefined
}

test('in any order of events a node holds, announces and answers only what it may', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60, size: 'max' }), (actions) => {
      const node = new FailoverUnderTest()
      node.step({ kind: 'started' })
      node.kinds()
      for (const act of actions) {
        const before = new Set(node.state.held.keys())
        act(node)
        assert.equal(violation(node, before), undefined)
      }
    }),
    { numRuns: 2_000 },
  )
})

test('whatever happened, a node that is cut off for long holds nothing of others', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60, size: 'max' }), (actions) => {
      const node = new FailoverUnderTest().start(orders, devicesWith(true))
      for (const act of actions) act(node)
      node.apply(orders, devicesWith(true))
      node.relisted()
      node.settled()
      node.settled()
      if (node.state.cutOffSinceMs === undefined) node.step({ kind: 'reach', isCutOff: true })
      node.pass(giveUpAfterMs)
      assert.deepEqual([...node.state.held.keys()], [])
    }),
  )
})

test('whatever happened, a node that has rejoined and whose gateways are unreachable answers for all of them', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60, size: 'max' }), (actions) => {
      const node = new FailoverUnderTest().start(orders, devicesWith(true))
      for (const act of actions) act(node)
      node.apply(orders, devicesWith(true))
      node.relisted()
      node.settled()
      node.settled()
      if (node.state.cutOffSinceMs !== undefined) node.step({ kind: 'reach', isCutOff: false })
      node.relisted()
      node.settled()
      node.settled()
      node.unreachable(owner, other)
      assert.deepEqual(new Set(node.state.held.keys()), new Set([egressIp, second]))
      assert.equal(node.aliveAfterAbsence, node.state.absence)
    }),
  )
})
