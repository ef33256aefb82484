import assert from 'node:assert/strict'
import { test } from 'node:test'
import { address } from '../../../test/support/world-builder.ts'
import { stepFailover } from './failover-rules.ts'
import { reportFailover } from './failover-views.ts'
import { type FailoverState, startOfFailover } from './state.ts'

const [gateway, other] = [address('172.18.0.3'), address('172.18.0.4')]
const now = { ms: 0, ns: 0n }
const nodes = [gateway, other].map((ip, index) => ({
  name: `w${index + 3}`,
  labels: {},
  internalIPs: [ip],
  podCIDRs: [],
}))
const reachable = { isUnreachable: false, isWitnessed: false, sinceMs: 0 }
const start: FailoverState = {
  ...startOfFailover('w1', new Map()),
  gateways: new Map([
    [gateway, reachable],
    [other, reachable],
  ]),
}

test('a node reports which gateways get packets without a tunnel, and counts each change of a path', () => {
  const near = stepFailover(start, { kind: 'links', answering: [gateway, other] }, now)
  assert.deepEqual(reportFailover(near.state, nodes).byLink, ['w3', 'w4'])
  assert.ok(near.effects.some(({ kind }) => kind === 'reconcile'))
  const { state, effects } = stepFailover(near.state, { kind: 'links', answering: [other] }, now)
  assert.deepEqual(reportFailover(state, nodes).byLink, ['w4'])
  assert.deepEqual(state.pathChanges, { link: 2, tunnel: 1 })
  assert.deepEqual(
    effects.flatMap((effect) => (effect.kind === 'log' ? [[effect.fields, effect.message]] : [])),
    [[{ gateway }, 'packets for the gateway take the tunnel']],
  )
})

test('a node reports no path to a gateway that it no longer uses', () => {
  const { state } = stepFailover(start, { kind: 'links', answering: [gateway] }, now)
  assert.deepEqual(reportFailover({ ...state, gateways: new Map() }, nodes).byLink, [])
})
