import assert from 'node:assert/strict'
import { test } from 'node:test'
import { address } from '../../../test/support/world-builder.ts'
import { nodesOnLinks } from './node-links.ts'
import type { NodeDevice } from './node-network.ts'

const gateway = address('172.18.0.3')
const successor = address('172.18.0.4')
const macs = { [gateway]: '02:00:00:00:03:00', [successor]: '02:00:00:00:04:00' }
const ofTunnel = new Map([gateway, successor].map((of) => [of, macs[of] ?? '']))
const eth0 = { index: 7, name: 'eth0', mac: '02:00:00:00:02:00', mtu: 1500 } as unknown as NodeDevice
const onLink = { ifindex: 7, kind: 'unicast' as const }
const blockOwner: readonly undefined[] = []
const egressIps = new Map([
  [address('172.18.0.42'), { order: [gateway, successor], blockOwner }],
  [address('172.18.0.43'), { order: [successor], blockOwner }],
])
const links = (routeTo: Parameters<typeof nodesOnLinks>[2], devices = [eth0]) =>
  nodesOnLinks({ ofTunnel, egressIps }, devices, routeTo)

test('a node to which the route goes by a native device, without a router, is on the link', () => {
  assert.deepEqual(links(() => onLink).get(gateway), {
    answeredNs: 0n,
    probeSource: '172.18.0.42',
    ifindex: 7,
    mtu: 1500,
    mac: '02:00:00:00:03:00',
    ownMac: '02:00:00:00:02:00',
  })
})

test('a gateway is probed from an egress IP that it owns rather than from one that it may take over', () =>
  assert.equal(links(() => onLink).get(successor)?.probeSource, '172.18.0.43'))

test('a router, another device or no route at all leaves a node to the tunnel', () => {
  for (const route of [
    { ...onLink, via: gateway },
    { ...onLink, ifindex: 8 },
    { ...onLink, kind: 'blackhole' as const },
    undefined,
  ])
    assert.equal(links(() => route).size, 0)
  assert.equal(links(() => onLink, []).size, 0)
})
