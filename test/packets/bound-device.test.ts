import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { before, beforeEach, describe, test } from 'node:test'
import { putAddress } from '../../src/linux/device-addresses.ts'
import { createVeth, findDevice, setDevice } from '../../src/linux/devices.ts'
import { putNeighbour } from '../../src/linux/neighbours.ts'
import { Netlink } from '../../src/linux/netlink.ts'
import { putRoute } from '../../src/linux/routes.ts'
import { writeSysctl } from '../../src/linux/sysctl.ts'
import { dissect } from './dissect.ts'
import {
  mac,
  type NodeUnderTest,
  openNode,
  prefix,
  reset,
  send,
  skip,
  slot2Port,
  standardTables,
} from './node-under-test.ts'
import { address, ipv4, ipv6 } from './packet.ts'

const secondRouter = '02:00:00:00:ff:02'

/**
 * The node has a second device with a default route: 192.168.150.100 and fd00:150::100, each an egress IP that this node holds. The
 * first device's default route has a lower metric in IPv4. The metrics of IPv6 differ from test to test.
 */
function addSecondDevice({ devices }: NodeUnderTest): number {
  using netlink = new Netlink()
  createVeth(netlink, { name: 'second', peer: { name: 'second-far' } })
  const index = findDevice(netlink, 'second')?.index ?? 0
  for (const name of ['second', 'second-far'])
    setDevice(netlink, findDevice(netlink, name)?.index ?? 0, { isUp: true })
  for (const family of ['ipv4', 'ipv6'])
    writeSysctl(`net/${family}/conf/second/forwarding`, '1', 'the FIB answers for packets that leave by it')
  putAddress(netlink, { index, address: address('192.168.150.100'), prefixLength: 24 })
  putAddress(netlink, { index, address: address('fd00:150::100'), prefixLength: 64 })
  for (const router of ['192.168.150.1', 'fd00:150::1'])
    putNeighbour(netlink, { index, address: address(router), mac: secondRouter })
  const route = { kind: 'unicast', destination: prefix('0.0.0.0/0') } as const
  putRoute(netlink, { ...route, via: address('172.18.0.1'), ifindex: devices.world, metric: 100 })
  putRoute(netlink, { ...route, via: address('192.168.150.1'), ifindex: index, metric: 4096 })
  return index
}

/** Two default routes of one metric are one route with two next hops; of two metrics the kernel sees the lower one alone. */
function preferFirst6(isPreferred: boolean): void {
  const ip = (...words: string[]): void => void execFileSync('ip', ['-6', 'route', ...words])
  ip('flush', 'exact', 'default')
  const [metric, other] = isPreferred ? ['100', '4096'] : ['100', '100']
  ip('append', 'default', 'via', '2001:db8::1', 'dev', 'world', 'metric', metric)
  ip('append', 'default', 'via', 'fd00:150::1', 'dev', 'second', 'metric', other)
}

describe('an egress IP of a device with a default route of its own', { skip }, () => {
  let node: NodeUnderTest
  let second: number
  before(() => {
    node = openNode()
    writeSysctl('net/ipv4/conf/all/rp_filter', '1', 'the kernel’s lookups must not depend on it')
    second = addSecondDevice(node)
  })
  beforeEach(() => reset(node))

  const bind = async (ifindex: number): Promise<void> => {
    const tables = standardTables(node)
    const [self] = [address('172.18.0.3')]
    const blockOwner = tables.egressIps.get(address('172.18.0.43'))?.blockOwner ?? []
    const egressIps = new Map(tables.egressIps)
    const own = ['192.168.150.100', 'fd00:150::100'].map(address)
    for (const each of own) egressIps.set(each, { order: [self], blockOwner, ifindex })
    await node.datapath.apply({
      ...tables,
      egressIps,
      pools: [...tables.pools, ...own.map((each) => ({ address: each, purpose: 'egress' as const, blocks: [2048] }))],
      groups: new Map([...tables.groups, ...own.map((each, at) => [BigInt(at + 10), { preferred: [each], standby: [], keepsAddress: false }] as const)]),
      rules: new Map([[1n, new Map([
        [prefix('0.0.0.0/0'), { action: 'egress', group: 10n, policy: 7n }],
        [prefix('::/0'), { action: 'egress', group: 11n, policy: 7n }],
      ])]]),
    }) // biome-ignore format: tables
  }
  const nextHop = (packet: Buffer, tunnel?: { readonly vni: number; readonly node: string }): string => {
    const program = tunnel === undefined ? 'from_pod' : 'from_overlay'
    const { verdict, out } = send(node, program, node.devices.pod7, packet, tunnel)
    return verdict.startsWith('SENT') ? (dissect(out).destinationMac ?? '') : verdict
  }
  const outward = { vni: 2, node: '172.18.0.4' } as const
  const packets = {
    'from a pod of the gateway': [ipv4('10.244.1.7', '100.64.0.9').udp(1, 2), undefined],
    'from a pod of the gateway, in IPv6': [ipv6('fd00:1::7', '2001:db8:aaaa::9').udp(1, 2), undefined],
    'from another node': [ipv4('192.168.150.100', '100.64.0.9').udp(slot2Port, 2), outward],
    'from another node, in IPv6': [ipv6('fd00:150::100', '2001:db8:aaaa::9').udp(slot2Port, 2), outward],
  } as const

  for (const [name, [packet, tunnel]] of Object.entries(packets)) {
    test(`a packet leaves by that device: ${name}`, async () => {
      preferFirst6(false)
      await bind(second)
      assert.equal(nextHop(packet, tunnel), secondRouter)
    })
    test(`without that, it leaves by the route with the lowest metric: ${name}`, async () => {
      preferFirst6(true)
      await bind(0)
      assert.equal(nextHop(packet, tunnel), mac.router)
    })
  }

  for (const [packet, tunnel] of [
    packets['from a pod of the gateway, in IPv6'],
    packets['from another node, in IPv6'],
  ])
    test('in IPv6 the kernel does not find a route with a higher metric, and no packet leaves by another device', async () => {
      preferFirst6(true)
      await bind(second)
      assert.equal(nextHop(packet, tunnel), 'DROP_NO_ROUTE')
    })

  test('a destination to which the device has no route is dropped, although another device has one', async () => {
    await bind(node.devices.pod8)
    assert.equal(nextHop(...packets['from another node']), 'DROP_NO_ROUTE')
  })

  test('a packet for a flow of the egress IP itself turns back', async () => {
    await bind(second)
    const { verdict } = send(
      node,
      'from_pod',
      node.devices.pod7,
      ipv4('10.244.1.7', '192.168.150.100').udp(1, slot2Port),
    )
    assert.equal(verdict, 'SENT_TO_OWNER')
  })
})
