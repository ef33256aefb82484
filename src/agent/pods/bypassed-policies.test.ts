import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeBypass } from './bypassed-policies.ts'

test('each product that enforces NetworkPolicies in netfilter is named once', () => {
  const chains = [
    { table: 'filter', name: 'cali-FORWARD' },
    { table: 'filter', name: 'cali-from-wl-dispatch' },
    { table: 'kube-network-policies', name: 'forward' },
  ]
  const told = describeBypass(chains, 'bypass')
  assert.equal(told.length, 2)
  assert.match(told[0] ?? '', /^Calico enforces/)
  assert.match(told[1] ?? '', /^kube-network-policies enforces/)
})

test('chains that only forward and masquerade are not reported', () => {
  const chains = ['KUBE-FORWARD', 'FORWARD', 'KUBE-POSTROUTING', 'FLANNEL-FWD']
  assert.deepEqual(
    describeBypass(
      chains.map((name) => ({ table: 'filter', name })),
      'bypass',
    ),
    [],
  )
})

test('where NetworkPolicies are enforced or refused, only other kinds do not apply, and the remedy is to write NetworkPolicies', () => {
  const chains = [{ table: 'filter', name: 'cali-FORWARD' }]
  assert.match(
    describeBypass(chains, 'bypass')[0] ?? '',
    /Egress rules of NetworkPolicies do not apply .* set cni\.networkPolicies=enforce\./i,
  )
  for (const mode of ['enforce', 'refuse'] as const)
    assert.match(
      describeBypass(chains, mode)[0] ?? '',
      /of other kinds than NetworkPolicy do not apply .* Write these rules as NetworkPolicies/,
    )
})
