import assert from 'node:assert/strict'
import { test } from 'node:test'
import { address } from '../../../test/support/world-builder.ts'
import { describePaths } from './paths.ts'

const nowNs = 10_000_000_000n
const ms = 1_000_000n
const [near, silent, far] = [address('10.0.0.1'), address('10.0.0.2'), address('10.0.0.3')]
const nodes = new Map(
  [near, silent, far].map((each, index) => [each, { name: `gateway${index + 1}`, slot: index }]),
)
const link = (answeredNs: bigint) => ({
  answeredNs,
  probeSource: undefined,
  ifindex: 2,
  mtu: 1500,
  mac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
})

test('each gateway has its path, and the tunnel its reason', () => {
  const links = new Map([
    [near, link(nowNs - 100n * ms)],
    [silent, link(nowNs - 351n * ms)],
  ])
  assert.deepEqual(
    describePaths([far, silent, near], nodes, (gateway) => links.get(gateway), nowNs),
    [
      { node: 'gateway1', path: 'link' },
      { node: 'gateway2', path: 'tunnel', reason: 'probes on the link are not answered' },
      { node: 'gateway3', path: 'tunnel', reason: 'it is not on a link of this node' },
    ],
  )
})
