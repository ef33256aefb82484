import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { address, prefix } from '../../../test/support/world-builder.ts'
import { putAddress } from '../../linux/device-addresses.ts'
import { createVeth, findDevice, setDevice } from '../../linux/devices.ts'
import { Netlink } from '../../linux/netlink.ts'
import { putRoute } from '../../linux/routes.ts'
import { boundDevices, selectNativeDevices } from './native-devices.ts'
import { listNodeDevices, type NodeDevice } from './node-network.ts'

const skip = privateNamespacesRefused
if (!skip) enterPrivateNamespaces()

/** eth1 has the default route with the lower metric in IPv4, eth0 in IPv6. eth2 has none. */
function makeNode(netlink: Netlink): readonly NodeDevice[] {
  const devices = [
    ['eth0', '10.0.0.2', 'fd00::2', 4096, 100],
    ['eth1', '10.0.1.2', 'fd00:1::2', 100, 200],
    ['eth2', '10.0.2.2', 'fd00:2::2', undefined, undefined],
  ] as const
  for (const [name, four, six, metric4, metric6] of devices) {
    createVeth(netlink, { name, peer: { name: `${name}-far` } })
    const index = findDevice(netlink, name)?.index ?? 0
    for (const each of [name, `${name}-far`])
      setDevice(netlink, findDevice(netlink, each)?.index ?? 0, { isUp: true })
    putAddress(netlink, { index, address: address(four), prefixLength: 24 })
    putAddress(netlink, { index, address: address(six), prefixLength: 64 })
    const unicast = { kind: 'unicast', ifindex: index } as const
    const routes = [[metric4, '0.0.0.0/0'], [metric6, '::/0']] as const // biome-ignore format: short
    for (const [metric, everywhere] of routes)
      if (metric !== undefined) putRoute(netlink, { ...unicast, destination: prefix(everywhere), metric })
  }
  return listNodeDevices(netlink).filter(({ name }) => /^eth.$/.test(name))
}

const names = (devices: readonly NodeDevice[]): string[] => devices.map(({ name }) => name).toSorted()

test('which devices packets leave and come in by', { skip }, async (t) => {
  using netlink = new Netlink()
  const devices = makeNode(netlink)
  const indexOf = (wanted: string): number | undefined => devices.find(({ name }) => name === wanted)?.index

  await t.test('the default route is the one with the lowest metric', () => {
    assert.deepEqual(names(devices.filter(({ isDefaultRoute }) => isDefaultRoute)), ['eth0', 'eth1'])
    assert.deepEqual(devices.find(({ name }) => name === 'eth1')?.defaultMetrics, { 4: 100, 6: 200 })
  })

  await t.test(
    'packets leave by the device of their address if it has a default route that is not the first',
    () => {
      assert.deepEqual(
        new Map(boundDevices(devices)),
        new Map([
          [address('10.0.0.2'), indexOf('eth0')],
          [address('fd00:1::2'), indexOf('eth1')],
        ]),
      )
    },
  )

  await t.test('a device reaches what the node’s routes lead to by it', () => {
    const reached = devices.map(({ reaches }) => reaches?.toSorted())
    assert.deepEqual(reached, [
      ['10.0.0.0/24', '::/0', 'fd00::/64'],
      ['0.0.0.0/0', '10.0.1.0/24', 'fd00:1::/64'],
      ['10.0.2.0/24', 'fd00:2::/64'],
    ])
  })

  await t.test('a device that has an egress IP is native without being named', () => {
    const select = (patterns: readonly string[], ...egressIps: readonly string[]): string[] =>
      names(selectNativeDevices(devices, patterns, address('10.0.0.2'), (each) => egressIps.includes(each)))
    assert.deepEqual(select([]), ['eth0', 'eth1'])
    assert.deepEqual(select([], '10.0.2.2'), ['eth0', 'eth1', 'eth2'])
    assert.deepEqual(select(['eth0'], 'fd00:2::2'), ['eth0', 'eth2'])
  })

  await t.test('the loopback device leads nowhere, whatever it holds', () => {
    const lo = {
      ...devices[0],
      name: 'lo',
      isLoopback: true,
      addresses: [address('203.0.113.42')],
    } as NodeDevice
    const native = selectNativeDevices([lo, ...devices], ['lo', 'eth0'], address('10.0.0.2'), (each) =>
      lo.addresses.includes(each),
    )
    assert.deepEqual(names(native), ['eth0'])
  })
})
