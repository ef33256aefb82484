import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { deleteAddress, listAddresses, putAddress } from '../../linux/device-addresses.ts'
import { createBridge, deleteDevice, findDevice, setDevice } from '../../linux/devices.ts'
import { Netlink } from '../../linux/netlink.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import type { NodeDevice } from '../node/node-network.ts'
import { HeldAddresses, planHeldAddresses, syncHeldAddresses } from './held-addresses.ts'

const skip = privateNamespacesRefused
const directory = mkdtempSync(join(tmpdir(), 'sallyport-held-'))
after(() => rmSync(directory, { recursive: true }))
if (!skip) enterPrivateNamespaces()

const ip = (text: string): Address => parseAddress(text) as Address
let files = 0
const file = (): string => join(directory, `${files++}/held-addresses.json`)

/** Two devices that are up, gone with the test. */
function devices(netlink: Netlink): Disposable & { net0: number; net1: number } {
  const [net0 = 0, net1 = 0] = ['net0', 'net1'].map((name) => {
    createBridge(netlink, { name, mtu: 1500 })
    const { index = 0 } = findDevice(netlink, name) ?? {}
    setDevice(netlink, index, { isUp: true })
    return index
  })
  return {
    net0,
    net1,
    [Symbol.dispose]: () => {
      for (const index of [net0, net1]) deleteDevice(netlink, index)
    },
  }
}

/** `address/length@device`, without what the kernel adds by itself. */
function present(netlink: Netlink): readonly string[] {
  const names = new Map(['lo', 'net0', 'net1'].map((name) => [findDevice(netlink, name)?.index, name]))
  return listAddresses(netlink)
    .filter(({ scope }) => scope === 'global')
    .map(({ address, prefixLength, index }) => `${address}/${prefixLength}@${names.get(index)}`)
    .sort()
}

const wanted = (places: Readonly<Record<string, string>>) =>
  new Map(Object.entries(places).map(([text, device]) => [ip(text), device]))

describe('addresses of pools on devices', { skip }, () => {
  test('come whole, move, and go when they are not wanted', () => {
    using netlink = new Netlink()
    using _ = devices(netlink)
    const held = new HeldAddresses(file())
    const both = wanted({ '192.0.2.1': 'net0', 'fd00::1': 'net0' })
    assert.deepEqual(syncHeldAddresses(netlink, both, held), { added: [...both.keys()], problems: [] })
    assert.deepEqual(syncHeldAddresses(netlink, both, held), { added: [], problems: [] })
    assert.deepEqual(present(netlink), ['192.0.2.1/32@net0', 'fd00::1/128@net0'])
    syncHeldAddresses(netlink, wanted({ '192.0.2.1': 'net1', 'fd00::1': 'net0' }), held)
    assert.deepEqual(present(netlink), ['192.0.2.1/32@net1', 'fd00::1/128@net0'])
    syncHeldAddresses(netlink, new Map(), held)
    assert.deepEqual(present(netlink), [])
    assert.equal(held.devices.size, 0)
  })

  test('that the agent has put there before it was killed are its own; others never are', () => {
    using netlink = new Netlink()
    using index = devices(netlink)
    const path = file()
    putAddress(netlink, { index: index.net0, address: ip('192.0.2.7'), prefixLength: 24 })
    syncHeldAddresses(netlink, wanted({ '192.0.2.1': 'net0', '192.0.2.7': 'net0' }), new HeldAddresses(path))
    const restarted = new HeldAddresses(path)
    assert.deepEqual([...restarted.devices.keys()], ['192.0.2.1'])
    syncHeldAddresses(netlink, new Map(), restarted)
    assert.deepEqual(present(netlink), ['192.0.2.7/24@net0'])
  })

  test('that somebody took away are put back; that went with their device are forgotten', () => {
    using netlink = new Netlink()
    using index = devices(netlink)
    const held = new HeldAddresses(file())
    syncHeldAddresses(netlink, wanted({ '192.0.2.1': 'net0' }), held)
    deleteAddress(netlink, { index: index.net0, address: ip('192.0.2.1'), prefixLength: 32 })
    syncHeldAddresses(netlink, wanted({ '192.0.2.1': 'net0' }), held)
    assert.deepEqual(present(netlink), ['192.0.2.1/32@net0'])
    deleteAddress(netlink, { index: index.net0, address: ip('192.0.2.1'), prefixLength: 32 })
    syncHeldAddresses(netlink, new Map(), held)
    assert.equal(held.devices.size, 0)
  })

  test('without their device are a problem in words, and no others’ problem', () => {
    using netlink = new Netlink()
    using _ = devices(netlink)
    const held = new HeldAddresses(file())
    const { problems } = syncHeldAddresses(
      netlink,
      wanted({ '192.0.2.1': 'net9', '192.0.2.2': 'net0' }),
      held,
    )
    assert.deepEqual(problems, [
      'Egress IP 192.0.2.1 cannot be added to this node: it has no interface net9.',
    ])
    assert.deepEqual(present(netlink), ['192.0.2.2/32@net0'])
  })

  test('that the kernel refuses are a problem in words, are not taken for ours, and keep no other from its place', () => {
    using netlink = new Netlink()
    using _ = devices(netlink)
    writeFileSync('/proc/sys/net/ipv6/conf/net0/disable_ipv6', '1')
    const held = new HeldAddresses(file())
    const { added, problems } = syncHeldAddresses(
      netlink,
      wanted({ 'fd00::1': 'net0', 'ff02::9': 'net1', '192.0.2.2': 'net0' }),
      held,
    )
    assert.deepEqual(added, ['192.0.2.2'])
    assert.match(problems[0] ?? '', /^Egress IP fd00::1 could not be added to device net0: /)
    assert.deepEqual([...held.devices.keys()], ['192.0.2.2'])
  })
})

describe('a node is to have', () => {
  const device = (name: string, isDefaultRoute = false) =>
    ({ name, alternativeNames: [`${name}-alt`], addresses: [], isDefaultRoute }) as unknown as NodeDevice
  const plan = (
    pool: Readonly<Record<string, readonly [node: string, device?: string]>>,
    holds: Readonly<Record<string, string>> = {},
    lingering: Readonly<Record<string, string>> = {},
    had: Readonly<Record<string, string>> = {},
  ) => {
    const held = wanted(holds)
    const poolAddresses = new Map(
      Object.entries(pool).map(([text, [node, name]]) => [ip(text), { node, interface: name }]),
    )
    const found = planHeldAddresses(
      poolAddresses,
      { name: 'self', tunnelAddress: ip('10.0.0.1') },
      [device('eth0', true), device('net0')],
      new Map(Object.entries(lingering).map(([text, owner]) => [ip(text), { order: [ip(owner)] }])),
      { held, poolPlaces: wanted(had), claims: new Map() },
    )
    return [...[...found.wanted].map(([address, name]) => `${address}@${name}`), ...found.problems]
  }
  const cases = [
    { name: 'its own addresses, not those of others', is: plan({ '192.0.2.1': ['self', 'net0'], '192.0.2.2': ['other', 'net0'] }), expect: ['192.0.2.1@net0'] },
    { name: 'them on the default route’s interface where none is named', is: plan({ '192.0.2.1': ['self'] }), expect: ['192.0.2.1@eth0'] },
    { name: 'them on the interface with the alternative name', is: plan({ '192.0.2.1': ['self', 'net0-alt'] }), expect: ['192.0.2.1@net0'] },
    { name: 'what flows may still have', is: plan({}, { '192.0.2.1': 'net0' }, { '192.0.2.1': '10.0.0.1' }), expect: ['192.0.2.1@net0'] },
    { name: 'nothing that flows have by another owner', is: plan({}, { '192.0.2.1': 'net0' }, { '192.0.2.1': '10.0.0.2' }), expect: [] },
    { name: 'nothing that no flow can have', is: plan({}, { '192.0.2.1': 'net0' }), expect: [] },
    { name: 'nothing that was given to another node, whatever flows have it', is: plan({ '192.0.2.1': ['other'] }, { '192.0.2.1': 'net0' }, { '192.0.2.1': '10.0.0.1' }), expect: [] },
    { name: 'what flows may still have and it gave up for a while', is: plan({}, {}, { '192.0.2.1': '10.0.0.1' }, { '192.0.2.1': 'net0' }), expect: ['192.0.2.1@net0'] },
    { name: 'nothing that it gave up and another owner has', is: plan({}, {}, { '192.0.2.1': '10.0.0.2' }, { '192.0.2.1': 'net0' }), expect: [] },
    { name: 'nothing it never had, however long it lingers', is: plan({}, {}, { '192.0.2.1': '10.0.0.1' }), expect: [] },
    { name: 'and cannot, without the interface', is: plan({ '192.0.2.1': ['self', 'net9'] }), expect: ['Egress IP 192.0.2.1 cannot be added to this node: it has no interface net9.'] },
  ] // biome-ignore format: a table
  for (const { name, is, expect } of cases) test(name, () => assert.deepEqual(is, expect))
})
