import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { address, prefix } from '../../../test/support/world-builder.ts'
import { findDevice } from '../../linux/devices.ts'
import { Netlink } from '../../linux/netlink.ts'
import { hasRoute } from '../../linux/route-lookup.ts'
import { listNodeDevices } from './node-network.ts'
import { UnroutedDestinations } from './unrouted-destinations.ts'

const skip = privateNamespacesRefused
if (!skip) enterPrivateNamespaces()

const ip = (command: string): void => void execFileSync('ip', command.split(' '))

/**
 * A gateway with two devices. `first` has 172.18.0.42 and fd00:18::42, `second` has 192.168.150.100. Tests add routes and remove them.
 */
function addDevices(): void {
  for (const name of ['first', 'second']) {
    ip(`link add ${name} type veth peer name ${name}-far`)
    for (const end of [name, `${name}-far`]) ip(`link set ${end} up`)
  }
  ip('addr add 172.18.0.42/16 dev first')
  ip('addr add fd00:18::42/64 dev first nodad')
  ip('addr add 192.168.150.100/24 dev second')
}

interface Case {
  readonly name: string
  readonly destinations: readonly string[]
  /** Arguments of `ip route add`. */
  readonly routes: readonly string[]
  /** Arguments of `ip rule add`. */
  readonly rule?: string
  readonly address?: string
  readonly inside?: readonly string[]
  readonly expect: readonly string[]
}

const firstDefault = 'default via 172.18.0.1 dev first metric 100'
const secondDefault = 'default via 192.168.150.1 dev second metric 200'

const cases: readonly Case[] = [
  {
    name: 'without any route',
    destinations: ['198.51.100.0/24', '2001:db8::/32'],
    routes: [],
    expect: ['198.51.100.0/24', '2001:db8::/32'],
  },
  {
    name: 'if the kernel rejects them',
    destinations: ['198.51.100.0/24', '203.0.113.0/24', '192.0.2.1/32'],
    routes: [firstDefault, 'blackhole 198.51.100.0/24', 'unreachable 203.0.113.0/24', 'prohibit 192.0.2.1'],
    expect: ['198.51.100.0/24', '203.0.113.0/24', '192.0.2.1/32'],
  },
  {
    name: 'that are everything, without a default route',
    destinations: ['0.0.0.0/0', '::/0'],
    routes: [],
    expect: ['0.0.0.0/0', '::/0'],
  },
  {
    name: 'that are everything, if the only other route leads to pods',
    destinations: ['0.0.0.0/0'],
    routes: ['10.244.2.0/24 via 172.18.0.5'],
    inside: ['10.244.2.0/24'],
    expect: ['0.0.0.0/0'],
  },
  {
    name: 'but none if the default route leads there',
    destinations: ['198.51.100.0/24', '0.0.0.0/0', '192.0.2.1/32', '198.51.100.0/31'],
    routes: [firstDefault],
    expect: [],
  },
  {
    name: 'but none that are on a link of the gateway',
    destinations: ['172.18.0.0/16', '172.18.0.0/24', 'fd00:18::/64'],
    routes: [],
    expect: [],
  },
  {
    name: 'but none of which a part has a route',
    destinations: ['10.0.0.0/8'],
    routes: ['10.77.0.0/24 via 172.18.0.1'],
    expect: [],
  },
  {
    name: 'but not everything if a router leads to a part of it',
    destinations: ['0.0.0.0/0'],
    routes: ['10.77.0.0/24 via 172.18.0.1'],
    expect: [],
  },
  {
    name: 'but not everything if two routes lead to its halves',
    destinations: ['0.0.0.0/0'],
    routes: ['0.0.0.0/1 via 172.18.0.1', '128.0.0.0/1 via 172.18.0.1'],
    expect: [],
  },
  {
    name: 'if the device that the egress IP is bound to has no route for them',
    destinations: ['203.0.113.0/24', '198.51.100.0/24'],
    routes: [firstDefault, secondDefault, 'unreachable 203.0.113.0/24', '198.51.100.0/24 via 172.18.0.1'],
    address: '192.168.150.100',
    expect: ['203.0.113.0/24'],
  },
  {
    name: 'if a rule for the egress IP chooses a table without a route',
    destinations: ['198.51.100.0/24'],
    routes: [firstDefault, 'unreachable default table 7'],
    rule: 'from 172.18.0.42 lookup 7',
    expect: ['198.51.100.0/24'],
  },
  {
    name: 'but none if a rule for the egress IP chooses a table with one',
    destinations: ['198.51.100.0/24'],
    routes: ['default via 172.18.0.1 dev first table 7'],
    rule: 'from 172.18.0.42 lookup 7',
    expect: [],
  },
]

describe('a gateway reports destinations to which it has no route:', { skip }, () => {
  if (!skip) addDevices()
  for (const {
    name,
    destinations,
    routes,
    rule,
    address: egressIp = '172.18.0.42',
    inside = [],
    expect,
  } of cases)
    test(name, (context) => {
      using netlink = new Netlink()
      for (const route of routes) ip(`route add ${route}`)
      if (rule !== undefined) ip(`rule add ${rule}`)
      context.after(() => {
        for (const route of routes) ip(`route del ${route}`)
        if (rule !== undefined) ip(`rule del ${rule}`)
      })
      const addresses = [egressIp, 'fd00:18::42'].map(address)
      const carried = { policy: 'p', addresses, destinations: destinations.map(prefix) }
      const finder = new UnroutedDestinations({ netlink, hasRoute: (wanted) => hasRoute(netlink, wanted) })
      const found = finder.list([carried], { devices: listNodeDevices(netlink), inside: inside.map(prefix) })
      const all = expect.length === destinations.length
      assert.deepEqual(found, expect.length === 0 ? [] : [{ policy: 'p', all, destinations: expect }])
    })

  test('a destination is on the link of a device only if a route says so', () => {
    using netlink = new Netlink()
    const ifindex = findDevice(netlink, 'second')?.index ?? 0
    const isFound = (text: string) => hasRoute(netlink, { destination: address(text), ifindex })
    assert.deepEqual(['192.168.150.7', '198.51.100.7', '172.18.0.7'].map(isFound), [true, false, false])
  })

  test('the agent asks the kernel again only after the network has changed', () => {
    using netlink = new Netlink()
    let isRouted = false
    const finder = new UnroutedDestinations({ netlink, hasRoute: () => isRouted })
    const carried = {
      policy: 'p',
      addresses: [address('172.18.0.42')],
      destinations: [prefix('192.0.2.0/24')],
    }
    const count = () => finder.list([carried], { devices: [], inside: [] })?.length
    assert.equal(count(), 1)
    isRouted = true
    assert.equal(count(), 1)
    finder.forget()
    assert.equal(count(), 0)
  })

  test('nothing is reported where nobody knows the routes', () => {
    using netlink = new Netlink()
    assert.equal(new UnroutedDestinations({ netlink }).list([], { devices: [], inside: [] }), undefined)
  })
})
