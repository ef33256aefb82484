import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { createVxlan, findDevice, setDevice } from '../../linux/devices.ts'
import { Netlink } from '../../linux/netlink.ts'
import { watchNetwork } from '../../linux/network-changes.ts'
import { listRoutes, putRoute, type Route } from '../../linux/routes.ts'
import type { Address } from '../../net/address.ts'
import { type Prefix, parsePrefix } from '../../net/prefix.ts'
import { syncRoutes } from './tunnel-routes.ts'

const skip = privateNamespacesRefused

test('routes into the tunnel become what is wanted, and those that are right are not touched', {
  skip,
}, async () => {
  enterPrivateNamespaces()
  using netlink = new Netlink()
  createVxlan(netlink, { name: 'overlay', port: 8472 })
  const ifindex = findDevice(netlink, 'overlay')?.index ?? 0
  setDevice(netlink, ifindex, { isUp: true })
  const route = (destination: string, node: string, mtu = 1450): Route => ({
    destination: parsePrefix(destination) as Prefix,
    kind: 'unicast',
    ifindex,
    scope: 'link',
    mtu,
    tunnel: { id: 1n, destination: node as Address },
  })
  const kept = route('10.244.1.0/24', '172.18.0.3')
  const kept6 = route('fd00:1::/64', '172.18.0.3')
  syncRoutes(netlink, ifindex, [
    kept,
    kept6,
    route('10.244.2.0/24', '172.18.0.4'),
    route('10.244.3.0/24', '172.18.0.5'),
  ])
  putRoute(netlink, { destination: parsePrefix('192.0.2.0/24') as Prefix, kind: 'unicast', ifindex })

  const ended = new AbortController()
  const changes = watchNetwork(ended.signal)
  const narrower = route('10.244.2.0/24', '172.18.0.4', 1400)
  const moved = route('10.244.3.0/24', '172.18.0.6')
  syncRoutes(netlink, ifindex, [kept, kept6, narrower, moved])
  syncRoutes(netlink, ifindex, [kept, kept6, narrower, moved])
  syncRoutes(netlink, ifindex, [kept, moved])

  const touched: string[] = []
  for await (const change of changes) {
    if (change.kind !== 'route') continue
    touched.push(`${change.route.destination}${change.isGone ? ' gone' : ''}`)
    if (touched.length === 4) break
  }
  assert.deepEqual(touched.sort(), [
    '10.244.2.0/24',
    '10.244.2.0/24 gone',
    '10.244.3.0/24',
    'fd00:1::/64 gone',
  ])
  ended.abort()
  const left = listRoutes(netlink, { family: 4, ifindex }).map(({ destination, tunnel }) => [
    destination,
    tunnel?.destination,
  ])
  assert.deepEqual(left, [
    ['10.244.1.0/24', '172.18.0.3'],
    ['10.244.3.0/24', '172.18.0.6'],
    ['192.0.2.0/24', undefined],
  ])
})
