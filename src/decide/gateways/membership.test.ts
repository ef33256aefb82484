import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, node } from '../../../test/support/world-builder.ts'
import { membershipOf, type Standing } from './membership.ts'

const known: Standing = {
  self: 'worker',
  node: node('worker', { ips: ['172.18.0.2'] }),
  hasEgressNode: true,
  addresses: new Set(['172.18.0.2', '172.18.0.42'].map(address)),
}

describe('a node', () => {
  test('is a member when the cluster knows it by an address that it has', () => {
    assert.deepEqual(membershipOf(known), { isMember: true })
  })

  const cases = [
    { name: 'is not a member without a Node object', seen: { node: undefined }, reason: 'NodeNotFound' },
    { name: 'is not a member when its Node object has no address', seen: { node: node('worker', {}) }, reason: 'NoInternalIP' },
    { name: 'is not a member when its Node object lists an address that it does not have', seen: { node: node('worker', { ips: ['172.18.0.99'] }) }, reason: 'AddressNotOnNode' },
    { name: 'is not a member without an EgressNode', seen: { hasEgressNode: false }, reason: 'EgressNodeNotFound' },
  ] // biome-ignore format: a table
  for (const { name, seen, reason } of cases)
    test(name, () => {
      const membership = membershipOf({ ...known, ...seen })
      assert.equal(membership.isMember ? undefined : membership.reason, reason)
      assert.match(membership.isMember ? '' : membership.message, /worker/)
    })
})
