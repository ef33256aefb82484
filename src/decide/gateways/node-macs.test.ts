import assert from 'node:assert/strict'
import { test } from 'node:test'
import { address } from '../../../test/support/world-builder.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import type { WorldNode } from '../world.ts'
import { resolveNodeMacs } from './node-macs.ts'

const node = (name: string, ip: string): WorldNode => ({
  name,
  labels: {},
  internalIPs: [address(ip)],
  podCIDRs: [],
})
const nodes = [node('n1', '10.0.0.1'), node('n2', '10.0.0.2'), node('n3', '10.0.0.3')]

interface Reported {
  readonly mac?: string
  readonly addresses: readonly string[]
  readonly problem?: 'Down'
  readonly receivesByLink?: false
}

const egressNode = (name: string, ...interfaces: readonly Reported[]): EgressNode =>
  ({
    metadata: { name },
    status: {
      interfaces: interfaces.map((each, index) => ({
        name: `eth${index}`,
        isDefaultRoute: true,
        receivesByLink: true,
        ...each,
      })),
    },
  }) as unknown as EgressNode

const resolve = (...egressNodes: readonly EgressNode[]) => resolveNodeMacs({ self: 'n1', nodes, egressNodes })

test('a node has the MACs of its devices, and the tunnel that of the device with its address', () => {
  const { ofTunnel, owners } = resolve(
    egressNode('n1', { mac: '02:00:00:00:01:00', addresses: ['10.0.0.1'] }),
    egressNode(
      'n2',
      { mac: '02:00:00:00:02:00', addresses: ['192.0.2.9'] },
      { mac: '02:00:00:00:02:01', addresses: ['10.0.0.2'] },
    ),
  )
  assert.deepEqual([...ofTunnel], [['10.0.0.2', '02:00:00:00:02:01']])
  assert.deepEqual(
    [...owners],
    [
      ['02:00:00:00:02:00', '10.0.0.2'],
      ['02:00:00:00:02:01', '10.0.0.2'],
    ],
  )
})

test('a MAC that two nodes report belongs to none', () => {
  const same = { mac: '02:00:00:00:09:09', addresses: ['10.0.0.2'] }
  for (const other of ['n1', 'n3']) {
    const { ofTunnel, owners } = resolve(
      egressNode('n2', same),
      egressNode(other, { ...same, addresses: ['10.0.0.3'] }),
    )
    assert.deepEqual([...ofTunnel, ...owners], [])
  }
})

test('a device that carries no traffic, or has no MAC, is no link', () => {
  const { ofTunnel } = resolve(
    egressNode('n2', { mac: '02:00:00:00:02:00', addresses: ['10.0.0.2'], problem: 'Down' }),
    egressNode('n3', { addresses: ['10.0.0.3'] }),
  )
  assert.deepEqual([...ofTunnel], [])
})

test('a node that does not say that it takes packets without a tunnel gets none, and its frames are still its own', () => {
  const { ofTunnel, owners } = resolve(
    egressNode('n2', { mac: '02:00:00:00:02:00', addresses: ['10.0.0.2'], receivesByLink: false }),
  )
  assert.deepEqual([...ofTunnel], [])
  assert.deepEqual([...owners], [['02:00:00:00:02:00', '10.0.0.2']])
})
