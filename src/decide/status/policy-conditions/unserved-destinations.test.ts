import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ciliumPolicy, isovalentPolicy, prefix, world } from '../../../../test/support/world-builder.ts'
import { explainPolicies } from '../status.ts'

const settings = {
  ...world().settings,
  stackCIDRs: [prefix('10.96.0.0/12'), prefix('fd96::/108')],
  nonMasqueradeCIDRs: [prefix('192.168.0.0/16')],
}

function condition(...destinationCIDRs: string[]) {
  const policies = explainPolicies(
    world({
      settings,
      ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs })],
      isovalentPolicies: [isovalentPolicy('q', { destinationCIDRs })],
    }),
  ).map(({ conditions }) => conditions.find(({ type }) => type === 'DestinationsNotServed'))
  const [of, ofGroups] = policies
  assert.deepEqual(
    { ...of, observedGeneration: 0 },
    { ...ofGroups, observedGeneration: 0 },
    'both kinds say the same',
  )
  return of
}

test('a policy says that its destinations are left to the stack, with which address, and what to do', () => {
  const { status, reason, message } = condition('10.99.6.0/24') ?? {}
  assert.deepEqual([status, reason], ['True', 'AllDestinations'])
  assert.equal(
    message,
    "destinationCIDRs has 10.99.6.0/24, which is inside 10.96.0.0/12 of the setting stackCIDRs. No policy applies there: packets have the pod's address. Remove the destination, or take it out of stackCIDRs.",
  )
  assert.match(condition('fd96::5/128')?.message ?? '', /fd96::\/108 of the setting stackCIDRs/)
  assert.match(condition('192.168.7.0/24')?.message ?? '', /of the setting nonMasqueradeCIDRs/)
})

test('a policy says the same of link-local addresses, loopback and nodes', () => {
  assert.match(condition('169.254.169.254/32')?.message ?? '', /link-local.*stay on the node or its link/)
  assert.match(condition('fe80::/64')?.message ?? '', /link-local/)
  assert.match(condition('127.0.0.1/32')?.message ?? '', /loopback/)
  assert.match(condition('172.18.0.5/32')?.message ?? '', /the addresses of node worker2/)
})

test('if other destinations are served, the reason says so', () => {
  assert.equal(condition('203.0.113.0/24', '10.96.0.10/32')?.reason, 'SomeDestinations')
})

test('a destination that contains such a network is not a mistake', () => {
  assert.equal(condition('0.0.0.0/0', '::/0'), undefined)
})
