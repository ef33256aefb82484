import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { putAddress } from '../../linux/device-addresses.ts'
import { createBridge, createVeth, findDevice, setDevice } from '../../linux/devices.ts'
import { linuxMachine } from '../../linux/machine.ts'
import { Netlink } from '../../linux/netlink.ts'
import { readSysctl } from '../../linux/sysctl.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import { listNodeDevices } from '../node/node-network.ts'
import { planProxiedAddresses, syncProxiedAddresses } from './proxied-addresses.ts'

const skip = privateNamespacesRefused
if (!skip) enterPrivateNamespaces()

const ip = (text: string): Address => parseAddress(text) as Address
const proxies = (): readonly string[] =>
  execFileSync('ip', ['-6', 'neigh', 'show', 'proxy'], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .filter(Boolean)

describe('an IPv6 egress IP on a device that only holds addresses', { skip }, () => {
  let netlink: Netlink
  const plan = (...own: readonly string[]) => planProxiedAddresses(own.map(ip), listNodeDevices(netlink))

  before(() => {
    netlink = new Netlink()
    createVeth(netlink, { name: 'link0', peer: { name: 'wire0' } })
    createBridge(netlink, { name: 'net0', mtu: 1500 })
    const [link, net] = ['link0', 'net0'].map((name) => findDevice(netlink, name)?.index ?? 0)
    for (const index of [link, findDevice(netlink, 'wire0')?.index])
      setDevice(netlink, index ?? 0, { isUp: true })
    putAddress(netlink, { index: link ?? 0, address: ip('fd00::11'), prefixLength: 64 })
    putAddress(netlink, { index: link ?? 0, address: ip('192.0.2.11'), prefixLength: 24 })
    for (const address of ['fd00::42', 'fd01::42'])
      putAddress(netlink, { index: net ?? 0, address: ip(address), prefixLength: 128 })
    putAddress(netlink, { index: net ?? 0, address: ip('192.0.2.42'), prefixLength: 32 })
  })
  after(() => netlink[Symbol.dispose]())

  test('gets a proxy entry on its link’s device, and other addresses need none', () => {
    const all = plan('fd00::42', 'fd00::11', 'fd00::43', 'fd01::42', '192.0.2.42')
    assert.deepEqual(
      all.map(({ address, device }) => `${address} ${device}`),
      ['fd00::42 link0'],
      'not what the link has itself, what is not here, what has no link, or IPv4',
    )
  })

  test('is answered for at once, as long as it is wanted', () => {
    assert.deepEqual(syncProxiedAddresses({ netlink, machine: linuxMachine }, plan('fd00::42')), [])
    assert.equal(proxies().length, 1)
    assert.match(proxies()[0] ?? '', /^fd00::42 dev link0\s+proxy\s+proto 83/)
    assert.equal(readSysctl('net/ipv6/conf/link0/proxy_ndp'), '1')
    assert.equal(readSysctl('net/ipv6/neigh/link0/proxy_delay'), '0')
    assert.deepEqual(syncProxiedAddresses({ netlink, machine: linuxMachine }, plan('fd00::42')), [])
    assert.equal(proxies().length, 1)
    assert.deepEqual(syncProxiedAddresses({ netlink, machine: linuxMachine }, []), [])
    assert.deepEqual(proxies(), [])
  })

  test('keeps proxy entries of other programs', () => {
    execFileSync('ip', ['-6', 'neigh', 'add', 'proxy', 'fd00::99', 'dev', 'link0'])
    syncProxiedAddresses({ netlink, machine: linuxMachine }, plan('fd00::42'))
    syncProxiedAddresses({ netlink, machine: linuxMachine }, [])
    assert.match(proxies().join(), /^fd00::99 dev link0/)
  })

  test('reports a problem if the device was deleted meanwhile', () => {
    const gone = plan('fd00::42').map((each) => ({ ...each, device: 'gone0', index: 4711 }))
    assert.match(
      syncProxiedAddresses({ netlink, machine: linuxMachine }, gone)[0] ?? '',
      /^Device gone0 cannot answer for egress IP fd00::42: /,
    )
  })
})
