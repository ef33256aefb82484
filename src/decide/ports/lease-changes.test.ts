import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, egressNode } from '../../../test/support/world-builder.ts'
import type { EgressAddress, PortLease } from '../../api/egress-address.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import type { Tables } from '../tables.ts'
import { concernsNode, concernsTables } from './lease-changes.ts'

const [self, other] = [address('172.18.0.3'), address('172.18.0.4')]
const [mine, theirs] = [address('172.18.0.42'), address('172.18.0.43')]

/** Of a node with slot 7 that may answer for the one address and not for the other. */
const tables = {
  self: { slot: 7, tunnelAddress: self },
  egressIps: new Map([
    [mine, { order: [other, self] }],
    [theirs, { order: [other] }],
  ]),
} as unknown as Tables

function leased(ip: string, ...slots: number[]): EgressAddress {
  const leases = slots.map((slot, index): PortLease => ({ firstPort: 1024 + 64 * index, blocks: 4, slot }))
  return { metadata: { name: ip }, spec: { address: ip, leases } }
}

describe('leases of an address concern', () => {
  const concerns = (before: EgressAddress | undefined, after: EgressAddress | undefined) =>
    concernsTables({ before, after }, tables)

  test('a node that may answer for it', () => assert.equal(concerns(undefined, leased(mine, 1)), true))
  test('a node that gets a lease', () =>
    assert.equal(concerns(leased(theirs, 1), leased(theirs, 1, 7)), true))
  test('a node that loses a lease', () => assert.equal(concerns(leased(theirs, 7), leased(theirs)), true))
  test('a node that had a lease in a deleted object', () =>
    assert.equal(concerns(leased(theirs, 7), undefined), true))
  test('no other node', () => assert.equal(concerns(leased(theirs, 1), leased(theirs, 1, 2)), false))
  test('every node that has no tables yet', () =>
    assert.equal(concernsTables({ before: undefined, after: leased(theirs, 1) }, undefined), true))
})

describe('a report of a node concerns', () => {
  const base = egressNode('a', 1, [])
  const saying = (status: EgressNode['status']): EgressNode => ({
    ...base,
    status: { ...base.status, ...status },
  })
  const confirming = saying({ confirmed: [{ address: mine, revision: 2 }] })

  test('nodes that wait for ports, if it confirms', () =>
    assert.equal(concernsNode({ before: base, after: confirming }, true), true))
  test('no node without a need for ports', () =>
    assert.equal(concernsNode({ before: base, after: confirming }, false), false))
  test('no other node if it only demands ports', () => {
    const after = saying({ demand: [{ address: mine, blocks: 4 }] })
    assert.equal(concernsNode({ before: base, after }, true), false)
  })
  test('every node if it is about which gateways it reaches', () =>
    assert.equal(concernsNode({ before: base, after: saying({ unreachable: ['b'] }) }, false), true))
  test('every node if the object is created or deleted', () => {
    assert.equal(concernsNode({ before: undefined, after: base }, false), true)
    assert.equal(concernsNode({ before: base, after: undefined }, false), true)
  })
})
