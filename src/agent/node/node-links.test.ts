import assert from 'node:assert/strict'
import { test } from 'node:test'
import { address } from '../../../test/support/world-builder.ts'
import { nodesOnLinks, withNotedAnswers } from './node-links.ts'
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
  nodesOnLinks({ ofTunnel, egressIps, lingering: new Map() }, devices, routeTo)

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

test('a gateway that answers only for an egress IP that lingers is probed, because flows still have the address', () => {
  const lingering = new Map([[address('172.18.0.42'), { order: [gateway] }]])
  const found = nodesOnLinks({ ofTunnel, egressIps: new Map(), lingering }, [eth0], () => onLink)
  assert.deepEqual(
    [...found.values()].map(({ probeSource }) => probeSource),
    ['172.18.0.42', undefined],
  )
})

const path = {
  answeredNs: 0n,
  probeSource: address('172.18.0.42'),
  ifindex: 7,
  mtu: 1500,
  mac: 'a',
  ownMac: 'b',
}
for (const [what, change, answeredNs] of [
  ['with another source of its probes keeps what the programs noted', { probeSource: successor }, 5n],
  ['by another device has proved nothing yet', { ifindex: 8 }, 0n],
  ['to another MAC has proved nothing yet', { mac: 'c', probeSource: successor }, 0n],
  ['that is the same is written as before', {}, 0n],
] as const)
  test(`a link ${what}`, () => {
    const before = new Map([[gateway, path]])
    const wanted = new Map([[gateway, { ...path, ...change }]])
    const after = withNotedAnswers(wanted, before, () => ({ ...path, answeredNs: 5n }))
    assert.deepEqual(after.get(gateway), { ...path, ...change, answeredNs })
  })
