import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { address, prefix } from '../../../test/support/world-builder.ts'
import { deleteAddress, putAddress } from '../../linux/device-addresses.ts'
import { createVeth, deleteDevice, findDevice, setDevice } from '../../linux/devices.ts'
import { linuxMachine } from '../../linux/machine.ts'
import { Netlink } from '../../linux/netlink.ts'
import { watchNetwork } from '../../linux/network-changes.ts'
import { putRoute } from '../../linux/routes.ts'
import { readSysctl, writeSysctl } from '../../linux/sysctl.ts'
import type { Address } from '../../net/address.ts'
import {
  ensureOverlay,
  listNodeDevices,
  listOwnAddresses,
  type NodeDevice,
  overlayName,
  portsToReserve,
  prepareKernel,
  withoutAdded,
} from './node-network.ts'

const skip = privateNamespacesRefused
if (!skip) enterPrivateNamespaces()

test('IPv6 is forwarded only where it is used, and the node keeps the routes that routers tell it', {
  skip,
}, () => {
  using netlink = new Netlink()
  createVeth(netlink, { name: 'eth0', mtu: 1500, peer: { name: overlayName, mtu: 1500 } })
  setDevice(netlink, findDevice(netlink, 'eth0')?.index ?? 0, { isUp: true })
  writeSysctl('net/ipv6/conf/eth0/accept_ra', '1', 'the test begins as a host does')
  const knobs = (): string[] =>
    ['all/forwarding', 'eth0/accept_ra'].map((name) => readSysctl(`net/ipv6/conf/${name}`))
  const use = { reserved: undefined, isStackUsed: false }
  const eth0 = (address: string): NodeDevice =>
    ({ name: 'eth0', addresses: [address] }) as unknown as NodeDevice
  for (const unused of ['172.18.0.2', 'fe80::2']) prepareKernel(linuxMachine, use, [eth0(unused)])
  assert.deepEqual(knobs(), ['0', '1'])
  prepareKernel(linuxMachine, use, [eth0('fc00::2')])
  assert.deepEqual(knobs(), ['1', '2'])
})

test('where the stack carries packets of pods, IPv6 is forwarded although the node has no address of it', {
  skip,
}, () => {
  const knob = 'net/ipv6/conf/all/forwarding'
  writeSysctl(knob, '0', 'the test begins as a host does')
  prepareKernel(linuxMachine, { reserved: undefined, isStackUsed: true }, [])
  assert.equal(readSysctl(knob), '1')
})

test('the node’s own addresses are those of all its devices, and they are current', { skip }, () => {
  using netlink = new Netlink()
  const loopback = findDevice(netlink, 'lo')?.index ?? 0
  const eth0 = findDevice(netlink, 'eth0')?.index ?? 0
  setDevice(netlink, loopback, { isUp: true })
  const vip = { index: loopback, address: address('172.18.0.100'), prefixLength: 32 }
  putAddress(netlink, { index: eth0, address: address('172.18.0.2'), prefixLength: 16 })
  putAddress(netlink, { index: eth0, address: address('fc00::2'), prefixLength: 64 })
  putAddress(netlink, { index: loopback, address: address('169.254.20.10'), prefixLength: 32 })
  const before = ['169.254.20.10', '172.18.0.2', '172.18.255.255', 'fc00::2']
  assert.deepEqual(listOwnAddresses(netlink).toSorted(), before)
  putAddress(netlink, vip)
  assert.deepEqual(listOwnAddresses(netlink).toSorted(), [...before, '172.18.0.100'].toSorted())
  deleteAddress(netlink, vip)
  assert.deepEqual(listOwnAddresses(netlink).toSorted(), before)
})

test('egress IPs that the agent added do not count as the node’s own addresses', () => {
  const device = { name: 'eth0', addresses: ['172.18.0.2', '172.18.0.97'] } as unknown as NodeDevice
  const lo = { name: 'lo', isLoopback: true, addresses: ['203.0.113.42'] } as unknown as NodeDevice
  const own = withoutAdded([lo, device], new Set(['172.18.0.97' as Address]))
  assert.deepEqual(
    own.map(({ addresses }) => addresses),
    [['172.18.0.2']],
  )
})

test('a device has the router of its default route, and no other one', { skip }, () => {
  using netlink = new Netlink()
  createVeth(netlink, { name: 'net0', mtu: 1500, peer: { name: 'router', mtu: 1500 } })
  const index = findDevice(netlink, 'net0')?.index ?? 0
  setDevice(netlink, index, { isUp: true })
  setDevice(netlink, findDevice(netlink, 'router')?.index ?? 0, { isUp: true })
  putAddress(netlink, { index, address: address('192.0.2.2'), prefixLength: 24 })
  const routes = { kind: 'unicast', ifindex: index } as const
  putRoute(netlink, { ...routes, destination: prefix('0.0.0.0/0'), via: address('192.0.2.1') })
  putRoute(netlink, { ...routes, destination: prefix('198.51.100.0/24'), via: address('192.0.2.9') })
  const found = listNodeDevices(netlink).find(({ name }) => name === 'net0')
  assert.deepEqual([found?.isDefaultRoute, found?.routers], [true, ['192.0.2.1']])
})

/* A change that the agent causes is reported to it as any other. It would reconcile, cause the same again, and never rest. */
test('a tunnel’s device that is as it should be is not changed', { skip }, async () => {
  using netlink = new Netlink()
  deleteDevice(netlink, findDevice(netlink, overlayName)?.index ?? 0)
  const tunnelAddress = address('198.18.0.2')
  createVeth(netlink, { name: 'net1', mtu: 1500, peer: { name: 'far1', mtu: 1500 } })
  const index = findDevice(netlink, 'net1')?.index ?? 0
  putAddress(netlink, { index, address: tunnelAddress, prefixLength: 24 })
  const ensure = () =>
    ensureOverlay(netlink, listNodeDevices(netlink), { port: 8472, mtu: 1450, tunnelAddress })
  const changesOf = async (act: () => unknown): Promise<number> => {
    const end = new AbortController()
    const changes = watchNetwork(end.signal)
    act()
    setTimeout(() => end.abort(), 200)
    let count = 0
    for await (const _change of changes) count++
    return count
  }
  assert.ok((await changesOf(ensure)) > 0, 'the first call creates it')
  /* The kernel reports its own work on a new device, too, for a second or two. A call that changes something is never quiet. */
  const later: number[] = []
  while (!later.includes(0) && later.length < 20) later.push(await changesOf(ensure))
  assert.ok(later.includes(0), `changes of each call: ${later}`)
})

test('sockets are kept from the ports that pods leave with', () => {
  assert.equal(portsToReserve({ isChained: true, sharesAddress: false }), undefined)
  assert.deepEqual(portsToReserve({ isChained: true, sharesAddress: true }), { first: 57344, last: 65535 })
  assert.deepEqual(portsToReserve({ isChained: false, sharesAddress: false }), { first: 49152, last: 65535 })
})
