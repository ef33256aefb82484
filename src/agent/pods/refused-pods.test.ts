import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeRefusals } from './refused-pods.ts'

const refusal = (pod: string, networkPolicy = 'default/deny', problems: readonly string[] = []) => ({
  pod: `default/${pod}`,
  networkPolicies: [networkPolicy],
  policies: ['CiliumEgressGatewayPolicy outpost'],
  problems,
})

test('a refused pod is named with its NetworkPolicy, its egress policy and the remedy', () => {
  const [told = '', ...more] = describeRefusals([refusal('xwing')])
  assert.deepEqual(more, [])
  assert.match(told, /^NetworkPolicy default\/deny restricts the egress of pod default\/xwing\./)
  assert.match(told, /or from CiliumEgressGatewayPolicy outpost\./)
  assert.match(told, /set cni\.networkPolicies=enforce/)
})

test('a refusal names the part of a NetworkPolicy that Sallyport cannot evaluate, and not the setting', () => {
  const [told = ''] = describeRefusals([
    refusal('xwing', 'default/web', ['default/web: spec.egress[0].ports[0]: the named port "http"']),
  ])
  assert.match(told, /that part allows nothing: default\/web: spec\.egress\[0\]\.ports\[0\]: the named port/)
  assert.doesNotMatch(told, /cni\.networkPolicies/)
})

test('pods that the same objects select share a sentence, and only the first three are named', () => {
  const told = describeRefusals([
    ...['a', 'b', 'c', 'd', 'e'].map((name) => refusal(name)),
    refusal('f', 'default/n'),
  ])
  assert.equal(told.length, 2)
  assert.match(told[0] ?? '', /restricts the egress of pods default\/a, default\/b, default\/c, 2 more\./)
  assert.match(told[1] ?? '', /^NetworkPolicy default\/n restricts the egress of pod default\/f\./)
})

test('without refused pods there is no message', () => {
  assert.deepEqual(describeRefusals([]), [])
})
