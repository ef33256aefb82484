import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { address, prefix } from '../../../test/support/world-builder.ts'
import type { Tables } from '../../decide/tables.ts'
import { listAddresses } from '../../linux/device-addresses.ts'
import { createVeth, findDevice } from '../../linux/devices.ts'
import { linuxMachine } from '../../linux/machine.ts'
import { Netlink } from '../../linux/netlink.ts'
import { listRoutes } from '../../linux/routes.ts'
import { isLinkLocal } from '../../net/address.ts'
import {
  ensureServiceWire,
  removeServiceWire,
  type ServiceWire,
  serviceDevices,
  serviceRoutes,
} from './service-device.ts'
import { syncRoutes } from './tunnel-routes.ts'

const podCIDRs = ['10.244.2.0/24', 'fd00:2::/64', '10.245.2.0/24'].map(prefix)

const portOf = (text: string, kind: Tables['services'][number]['kind'] = 'ClusterIP', port = 80) => ({
  service: 'default/web',
  kind,
  address: address(text),
  port,
  protocol: 6,
  affinityMs: 0,
  endpoints: [],
  leaving: [],
})

/** What the kernel has on the end to which the routes lead. */
function read(netlink: Netlink, { hostIfindex }: ServiceWire) {
  const routes = ([4, 6] as const).flatMap((family) => listRoutes(netlink, { family, ifindex: hostIfindex }))
  return {
    addresses: listAddresses(netlink)
      .filter(({ index, address: each }) => index === hostIfindex && !isLinkLocal(each))
      .map(
        (each) => `${each.address}${each.scope === 'host' || each.isDeprecated ? '' : ' for all sockets'}`,
      ),
    routes: routes
      .filter(({ via }) => via !== undefined)
      .map(({ destination, source }) => `${destination} from ${source}`),
  }
}

test('a node has a device for Services, one client address of each family, and a route to each cluster IP', {
  skip: privateNamespacesRefused,
}, () => {
  enterPrivateNamespaces()
  using netlink = new Netlink()
  const wire = ensureServiceWire(netlink, linuxMachine, { podCIDRs, mtu: 1450 })
  const route = (...services: Tables['services']): void =>
    syncRoutes(netlink, wire.hostIfindex, serviceRoutes(services, wire, 1450))
  route(portOf('10.96.0.7'), portOf('10.96.0.7', 'ClusterIP', 443), portOf('fd00:96::7'), portOf('203.0.113.80', 'ExternalIPs')) // biome-ignore format: one row
  const made = {
    addresses: ['10.244.2.1', 'fd00:2::1'],
    routes: [
      '10.96.0.7/32 from 10.244.2.1',
      '10.244.2.0/32 from 10.244.2.1',
      'fd00:2::/128 from fd00:2::1',
      'fd00:96::7/128 from fd00:2::1',
    ],
  }
  assert.deepEqual(read(netlink, wire), made)
  const program = findDevice(netlink, serviceDevices.program)
  assert.deepEqual([program?.index, program?.mtu, program?.isUp], [wire.ifindex, 1450, true])

  assert.deepEqual(ensureServiceWire(netlink, linuxMachine, { podCIDRs, mtu: 1450 }), wire)
  assert.deepEqual(read(netlink, wire), made, 'a second time changes nothing')

  route(portOf('10.96.0.8'))
  assert.deepEqual(read(netlink, wire).routes, [
    '10.96.0.8/32 from 10.244.2.1',
    '10.244.2.0/32 from 10.244.2.1',
    'fd00:2::/128 from fd00:2::1',
  ])

  const moved = ensureServiceWire(netlink, linuxMachine, { podCIDRs: [prefix('10.244.9.0/24')], mtu: 1400 })
  assert.deepEqual(read(netlink, moved).addresses, ['10.244.9.1'])
  assert.deepEqual([moved.ifindex, findDevice(netlink, wire.ifindex)?.mtu], [wire.ifindex, 1400])

  assert.equal(removeServiceWire(netlink), true)
  assert.equal(removeServiceWire(netlink), false)
  assert.equal(findDevice(netlink, serviceDevices.host), undefined)
})

test('a node without pod CIDRs of a family has no routes of that family', {
  skip: privateNamespacesRefused,
}, () => {
  enterPrivateNamespaces()
  using netlink = new Netlink()
  const wire = ensureServiceWire(netlink, linuxMachine, { podCIDRs: podCIDRs.slice(0, 1), mtu: 1450 })
  const routes = serviceRoutes([portOf('10.96.0.7'), portOf('fd00:96::7')], wire, 1450)
  assert.deepEqual(
    routes.map(({ destination }) => destination),
    ['10.244.2.0/32', '10.96.0.7/32'],
  )
})

test('a device of that name that is no pair is named in the error', {
  skip: privateNamespacesRefused,
}, () => {
  enterPrivateNamespaces()
  using netlink = new Netlink()
  createVeth(netlink, { name: serviceDevices.program, peer: { name: 'other' } })
  assert.throws(
    () => ensureServiceWire(netlink, linuxMachine, { podCIDRs, mtu: 1450 }),
    /sallyport-host disappeared/,
  )
})
