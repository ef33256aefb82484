import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  cannotRun,
  curlOutpost,
  eventually,
  hangTimeoutMs,
  labFor,
  seenByOutpost,
  type,
} from './lab-under-test.ts'
import { someNodes } from './story.ts'

describe('two gateways of one policy', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-spread', {
    nodes: someNodes('kind-worker', 'kind-worker3', 'kind-worker4'),
    story: { until: 'the outpost' },
  })

  test('two gateways share 1,000 connections evenly', async (t) => {
    const state = lab.state()
    await type(
      state,
      'kubectl apply -f egress-gw-policy-ha.yaml && kubectl wait --for=condition=Ready iegp/outpost-ha --timeout=20s',
    )
    await eventually('the policy is in force', async () =>
      (await type(state, `kubectl exec xwing -- ${curlOutpost}`)).includes('172.18.0.4'),
    )
    const before = await seenByOutpost(state)
    await type(
      state,
      `kubectl exec xwing -- sh -c 'seq 1 1000 | xargs -P 8 -n 1 sh -c "${curlOutpost} >/dev/null"'`,
    )
    const after = await seenByOutpost(state)
    const counts = Object.fromEntries(
      Object.entries(after).map(([address, count]) => [address, count - (before[address] ?? 0)]),
    )
    t.diagnostic(JSON.stringify(counts))
    const [one = 0, other = 0] = [counts['172.18.0.42'], counts['172.18.0.43']]
    assert.equal(one + other, 1000, JSON.stringify(counts))
    /* Of a fair coin's throws one in a million is further off: five deviations of 16. */
    assert.ok(Math.abs(one - 500) < 80, JSON.stringify(counts))
  })
})
