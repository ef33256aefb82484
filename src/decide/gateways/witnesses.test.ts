import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  address,
  device,
  egressNode,
  isovalentPolicy,
  node,
  world,
} from '../../../test/support/world-builder.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import { resolve } from '../resolve.ts'
import type { World } from '../world.ts'

const shared = { isovalentPolicies: [isovalentPolicy('p')] }

/** Two gateways, in the zones east and west, and six more nodes in three zones. */
function large(parts: Partial<World> = {}): World {
  const base = world(shared)
  const more = [10, 11, 12, 13, 14, 15].map((octet) => `172.18.0.${octet}`)
  const zone = (index: number) => ({
    'topology.kubernetes.io/zone': ['east', 'west', 'north'][index % 3] ?? '',
  })
  return {
    ...base,
    nodes: [...base.nodes, ...more.map((ip, index) => node(`extra${index}`, { ips: [ip], labels: zone(index) }))],
    egressNodes: [
      ...base.egressNodes.map((each) => onLink(each)),
      ...more.map((ip, index) => egressNode(`extra${index}`, 10 + index, [device('eth0', [ip], { isDefaultRoute: true })])),
    ],
    ...parts,
  } // biome-ignore format: rows
}

/** Connects the node's devices to the link of all egress IPs. */
function onLink(each: EgressNode): EgressNode {
  const interfaces = (each.status?.interfaces ?? []).map((known) => ({
    ...known,
    subnets: ['172.18.0.0/16'],
  }))
  return { ...each, status: { ...each.status, interfaces } }
}

const witnessesOf = (self: string, parts: Partial<World> = {}) => resolve({ ...large(parts), self }).witnesses

describe('witnesses', () => {
  test('are three nodes in different zones that are not gateways of the same egress IPs', () => {
    const witnesses = witnessesOf('worker3')
    assert.equal(witnesses.length, 3)
    assert.ok(!witnesses.includes('172.18.0.4' as never) && !witnesses.includes('172.18.0.3' as never))
    const zoneOf = new Map(
      large().nodes.map(({ internalIPs: [ip], labels }) => [ip, labels['topology.kubernetes.io/zone']]),
    )
    assert.equal(new Set(witnesses.map((witness) => zoneOf.get(witness))).size, 3)
  })

  test('are the same whatever the order in which the API server lists nodes', () => {
    const { nodes } = large()
    assert.deepEqual(witnessesOf('worker3', { nodes: [...nodes].reverse() }), witnessesOf('worker3'))
  })

  test('are empty for a node that shares no egress IP', () => {
    assert.deepEqual(witnessesOf('worker'), [])
  })

  test('exclude nodes that are not ready and nodes whose agent has not reported', () => {
    const { nodes, egressNodes } = large()
    const isExtra = (name: string): boolean => name.startsWith('extra')
    const notReady = nodes.map((each) => (isExtra(each.name) ? { ...each, isReady: false } : each))
    const silent = egressNodes.map((each) =>
      isExtra(each.metadata.name) ? { metadata: each.metadata } : each,
    )
    const expected = ['172.18.0.2', '172.18.0.5']
    assert.deepEqual([...witnessesOf('worker3', { nodes: notReady })].sort(), expected)
    assert.deepEqual([...witnessesOf('worker3', { egressNodes: silent })].sort(), expected)
  })

  test('exist for a node that shares only an egress IP of old flows, and are not gateways of that egress IP', () => {
    const [own, gone, successor] = ['172.18.0.2', '172.18.0.99', '172.18.0.5'].map(address)
    assert.ok(own && gone && successor)
    const lingeringOrders = new Map([[address('172.18.0.77'), [gone, successor, own]]])
    const witnesses = witnessesOf('worker', { lingeringOrders })
    assert.equal(witnesses.length, 3)
    assert.ok(!witnesses.includes(successor))
  })
})
