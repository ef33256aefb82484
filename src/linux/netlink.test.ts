import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../test/support/private-namespaces.ts'
import type { Address } from '../net/address.ts'
import { type Prefix, parsePrefix } from '../net/prefix.ts'
import { deleteAddress, listAddresses, putAddress } from './device-addresses.ts'
import {
  createBridge,
  createVeth,
  createVxlan,
  deleteDevice,
  findDevice,
  listDevices,
  setDevice,
} from './devices.ts'
import { isKernelError } from './libc.ts'
import { deleteNeighbour, listNeighbours, putNeighbour } from './neighbours.ts'
import { Netlink } from './netlink.ts'
import { withNetns } from './netns.ts'
import { type NetworkChange, watchNetwork } from './network-changes.ts'
import { deleteRoute, listRoutes, putRoute, type Route } from './routes.ts'

const skip = privateNamespacesRefused
if (!skip) enterPrivateNamespaces()

const prefix = (text: string): Prefix => parsePrefix(text) as Prefix

/** A device pair that is up and has addresses, gone with the test. */
function pair(netlink: Netlink, name: string): { index: number; peer: number } {
  createVeth(netlink, {
    name,
    mac: '02:00:00:00:00:0a',
    mtu: 1400,
    peer: { name: `${name}p`, mac: '02:00:00:00:00:0b' },
  })
  const index = findDevice(netlink, name)?.index ?? 0
  const peer = findDevice(netlink, `${name}p`)?.index ?? 0
  setDevice(netlink, index, { isUp: true })
  setDevice(netlink, peer, { isUp: true })
  return { index, peer }
}

test('a device pair has the names, MACs and MTU that it was given', { skip }, () => {
  using netlink = new Netlink()
  const { index, peer } = pair(netlink, 'pair')
  const device = findDevice(netlink, 'pair')
  assert.deepEqual(
    { ...device, hasCarrier: true },
    {
      index, name: 'pair', alternativeNames: [], kind: 'veth', mac: '02:00:00:00:00:0a', mtu: 1400,
      isUp: true, isLoopback: false, hasCarrier: true, peerIndex: peer, masterIndex: undefined, vxlanPort: undefined,
    }, // biome-ignore format: one device
  )
  deleteDevice(netlink, index)
  assert.equal(findDevice(netlink, 'pair'), undefined)
  assert.equal(findDevice(netlink, peer), undefined)
})

test('a device is renamed, gets another MTU and MAC, and goes down', { skip }, () => {
  using netlink = new Netlink()
  const { index } = pair(netlink, 'old')
  setDevice(netlink, index, { isUp: false })
  setDevice(netlink, index, { name: 'new', mtu: 1300, mac: '02:00:00:00:00:0c' })
  const device = findDevice(netlink, index)
  assert.equal(device?.name, 'new')
  assert.equal(device?.mtu, 1300)
  assert.equal(device?.mac, '02:00:00:00:00:0c')
  assert.equal(device?.isUp, false)
  deleteDevice(netlink, index)
})

test('a device is found by an alternative name', { skip }, () => {
  using netlink = new Netlink()
  const { index } = pair(netlink, 'plain')
  execFileSync('ip', ['link', 'property', 'add', 'dev', 'plain', 'altname', 'a-name-too-long-for-a-device'])
  assert.equal(findDevice(netlink, 'a-name-too-long-for-a-device')?.index, index)
  deleteDevice(netlink, index)
})

test('a VXLAN device is external: each packet has its own remote address', { skip }, () => {
  using netlink = new Netlink()
  createVxlan(netlink, { name: 'tunnel', port: 8472, mac: '02:00:00:00:00:01', mtu: 1450 })
  const device = findDevice(netlink, 'tunnel')
  assert.equal(device?.kind, 'vxlan')
  assert.equal(device?.vxlanPort, 8472)
  assert.equal(device?.mac, '02:00:00:00:00:01')
  assert.equal(device?.mtu, 1450)
  deleteDevice(netlink, device?.index ?? 0)
})

test('an error names what was attempted and what the kernel says', { skip }, () => {
  using netlink = new Netlink()
  createBridge(netlink, { name: 'twice' })
  assert.throws(() => createBridge(netlink, { name: 'twice' }), /create the bridge twice: EEXIST/)
  assert.throws(
    () =>
      putRoute(netlink, {
        destination: prefix('192.0.2.0/24'),
        kind: 'unicast',
        via: '198.51.100.1' as Address,
      }),
    /add the route to 192.0.2.0\/24: ENETUNREACH \(Nexthop has invalid gateway\)/,
  )
  deleteDevice(netlink, findDevice(netlink, 'twice')?.index ?? 0)
})

test('addresses of both families are added, listed and deleted; adding twice is no error', { skip }, () => {
  using netlink = new Netlink()
  const { index } = pair(netlink, 'addressed')
  const v4 = { index, address: '192.0.2.1' as Address, prefixLength: 24 }
  const v6 = { index, address: '2001:db8::1' as Address, prefixLength: 64, hasPrefixRoute: false }
  for (const address of [v4, v4, v6, v6]) putAddress(netlink, address)
  const ours = (): string[] =>
    listAddresses(netlink)
      .filter((address) => address.index === index && address.scope === 'global')
      .map(
        ({ address, prefixLength, isTentative }) =>
          `${address}/${prefixLength}${isTentative ? ' tentative' : ''}`,
      )
  assert.deepEqual(ours(), ['192.0.2.1/24', '2001:db8::1/64'])
  assert.equal(
    listRoutes(netlink, { family: 6 }).some((route) => route.destination === '2001:db8::/64'),
    false,
  )
  deleteAddress(netlink, v4)
  deleteAddress(netlink, v6)
  assert.deepEqual(ours(), [])
  assert.throws(
    () => deleteAddress(netlink, v4),
    (error) => isKernelError(error, 'EADDRNOTAVAIL'),
  )
  deleteDevice(netlink, index)
})

test('routes of every form are listed as they were added, and deleted', { skip }, () => {
  using netlink = new Netlink()
  const { index } = pair(netlink, 'routed')
  putAddress(netlink, { index, address: '192.0.2.1' as Address, prefixLength: 24 })
  createVxlan(netlink, { name: 'encap', port: 8472 })
  const tunnel = findDevice(netlink, 'encap')?.index ?? 0
  setDevice(netlink, tunnel, { isUp: true })
  const routes: Route[] = [
    { destination: prefix('198.51.100.0/24'), kind: 'unicast', via: '192.0.2.2' as Address, ifindex: index, source: '192.0.2.1' as Address, metric: 7, mtu: 1200, table: 254, scope: 'global', isOnLink: false },
    { destination: prefix('203.0.113.9/32'), kind: 'unicast', ifindex: index, table: 1000, scope: 'link', isOnLink: false },
    { destination: prefix('0.0.0.0/0'), kind: 'unreachable', table: 100, scope: 'global', isOnLink: false },
    { destination: prefix('10.244.1.0/24'), kind: 'unicast', ifindex: tunnel, table: 254, scope: 'link', isOnLink: false, tunnel: { id: 1n, destination: '192.0.2.9' as Address } },
    { destination: prefix('203.0.113.1/32'), kind: 'unicast', via: '10.9.9.9' as Address, ifindex: index, table: 254, scope: 'global', isOnLink: true },
  ] // biome-ignore format: a table
  for (const route of routes) {
    putRoute(netlink, route)
    putRoute(netlink, route)
    const found = (): Route | undefined =>
      listRoutes(netlink, { family: 4, table: route.table ?? 254 }).find(
        (one) => one.destination === route.destination,
      )
    const { ...listed } = found()
    /* The kernel says the loopback device for routes that lead nowhere only in IPv6; metrics of 0 it leaves out. */
    assert.deepEqual(listed, route)
    deleteRoute(netlink, route)
    assert.equal(found(), undefined)
  }
  deleteDevice(netlink, index)
  deleteDevice(netlink, tunnel)
})

test('an IPv6 route leads through the tunnel', { skip }, () => {
  using netlink = new Netlink()
  createVxlan(netlink, { name: 'encap6', port: 8473 })
  const ifindex = findDevice(netlink, 'encap6')?.index ?? 0
  setDevice(netlink, ifindex, { isUp: true })
  putRoute(netlink, {
    destination: prefix('fd00:1::/64'),
    kind: 'unicast',
    ifindex,
    tunnel: { id: 1n, destination: 'fd00::9' as Address },
  })
  const route = listRoutes(netlink, { family: 6 }).find(({ destination }) => destination === 'fd00:1::/64')
  assert.deepEqual(route?.tunnel, { id: 1n, destination: 'fd00::9' })
  deleteDevice(netlink, ifindex)
})

test('permanent neighbours are set, listed and removed', { skip }, () => {
  using netlink = new Netlink()
  const { index } = pair(netlink, 'near')
  const neighbour = { index, address: '192.0.2.7' as Address, mac: '02:00:00:00:00:07' }
  putNeighbour(netlink, neighbour)
  putNeighbour(netlink, neighbour)
  assert.deepEqual(listNeighbours(netlink), [neighbour])
  deleteNeighbour(netlink, neighbour)
  assert.deepEqual(listNeighbours(netlink), [])
  deleteDevice(netlink, index)
})

test('a veth pair has its other end in another namespace, as a socket that stays there shows', {
  skip,
}, async () => {
  const other = spawn('unshare', ['-n', 'sh', '-c', 'echo ready; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await new Promise((resolve) => other.stdout.once('data', resolve))
  const netns = `/proc/${other.pid}/ns/net`
  {
    using netlink = new Netlink()
    using there = new Netlink(netns)
    createVeth(netlink, { name: 'here', peer: { name: 'eth0', netns, mac: '02:00:00:00:00:0d' } })
    assert.equal(findDevice(netlink, 'eth0'), undefined)
    assert.equal(findDevice(there, 'eth0')?.mac, '02:00:00:00:00:0d')
    const count = withNetns(netns, () => {
      using inside = new Netlink()
      return listDevices(inside).length
    })
    assert.equal(count, listDevices(there).length)
    deleteDevice(netlink, findDevice(netlink, 'here')?.index ?? 0)
    assert.equal(findDevice(there, 'eth0'), undefined)
  }
  const ended = new Promise((resolve) => other.once('exit', resolve))
  other.stdin.end()
  await ended
})

test('withNetns refuses asynchronous work, and returns to its namespace after an exception', { skip }, () => {
  const own = '/proc/thread-self/ns/net'
  assert.throws(() => withNetns(own, async () => {}), /must be synchronous/)
  assert.throws(() => withNetns(own, () => { throw new Error('inside') }), /inside/) // biome-ignore format: short
})

test('changes are reported in their order, from the subscription on', { skip }, async () => {
  using netlink = new Netlink()
  const ended = new AbortController()
  const changes = watchNetwork(ended.signal)
  createBridge(netlink, { name: 'watched' })
  const index = findDevice(netlink, 'watched')?.index ?? 0
  setDevice(netlink, index, { isUp: true })
  putAddress(netlink, { index, address: '192.0.2.77' as Address, prefixLength: 32 })
  deleteDevice(netlink, index)
  const seen: string[] = []
  for await (const change of changes) {
    const text = summary(change, index)
    if (text !== undefined && seen.at(-1) !== text) seen.push(text)
    if (text === 'device watched gone') break
  }
  ended.abort()
  for (const expected of [
    'device watched',
    'device watched up',
    'address 192.0.2.77',
    'address 192.0.2.77 gone',
  ])
    assert.ok(seen.includes(expected), `${expected} in ${seen.join(', ')}`)
  assert.deepEqual(seen.at(-1), 'device watched gone')
  assert.ok(seen.indexOf('device watched up') < seen.indexOf('address 192.0.2.77'))
})

test('more changes than the socket can hold become one request to list everything again', {
  skip,
  timeout: 30_000,
}, async () => {
  using netlink = new Netlink()
  const { index } = pair(netlink, 'flood')
  const ended = new AbortController()
  const changes = watchNetwork(ended.signal)
  const address = { index, address: '192.0.2.99' as Address, prefixLength: 32 }
  for (let count = 0; count < 12000; count++) {
    putAddress(netlink, address)
    deleteAddress(netlink, address)
  }
  let hasResync = false
  for await (const change of changes) {
    if (change.kind === 'resync') hasResync = true
    if (hasResync) break
  }
  ended.abort()
  assert.ok(hasResync)
  deleteDevice(netlink, index)
})

function summary(change: NetworkChange, index: number): string | undefined {
  const gone = change.kind !== 'resync' && change.isGone ? ' gone' : ''
  if (change.kind === 'device' && change.device.index === index)
    return `device ${change.device.name}${change.device.isUp && !gone ? ' up' : gone}`
  if (change.kind === 'address' && change.address.scope === 'global')
    return `address ${change.address.address}${gone}`
  return undefined
}
