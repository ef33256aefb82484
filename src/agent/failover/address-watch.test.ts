import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { putAddress } from '../../linux/device-addresses.ts'
import { createVeth, deleteDevice, findDevice, setDevice } from '../../linux/devices.ts'
import { linuxMachine } from '../../linux/machine.ts'
import { Netlink } from '../../linux/netlink.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { AddressWatch } from './address-watch.ts'

const skip = privateNamespacesRefused
if (!skip) enterPrivateNamespaces()

const ip = (text: string): Address => parseAddress(text) as Address
const taken = [ip('192.0.2.42'), ip('fd00::42')]
const free = [ip('192.0.2.43'), ip('fd00::43')]

describe('on a link where another host has addresses of the pool', { skip, timeout: 60_000 }, () => {
  let netlink: Netlink
  const find = (name: string) => {
    const { index, mac = '' } = findDevice(netlink, name) ?? assert.fail(name)
    return { index, mac, name }
  }
  before(async () => {
    netlink = new Netlink()
    createVeth(netlink, { name: 'link0', mtu: 1500, peer: { name: 'host0', mtu: 1500 } })
    for (const name of ['link0', 'host0']) setDevice(netlink, find(name).index, { isUp: true })
    const { index } = find('host0')
    for (const address of taken)
      putAddress(netlink, { index, address, prefixLength: address.includes(':') ? 64 : 24 })
    /* Until then the host is about to probe for its own IPv6 address, and does not answer. */
    using link = linuxMachine.openLinkClaims(find('link0'))
    for (const answered = new Set<Address>(); answered.size < taken.length; await setTimeout(20)) {
      for (const address of taken) link.probe(address)
      for (const claim of link.claims())
        if (!claim.isProbe && taken.includes(claim.address)) answered.add(claim.address)
    }
  })
  after(() => {
    deleteDevice(netlink, find('link0').index)
    netlink[Symbol.dispose]()
  })

  /** What a watch reports, in order. */
  function watch(clock = systemClock, probesAddresses = true) {
    const heard: string[] = []
    const addresses = new AddressWatch({
      machine: linuxMachine,
      clock,
      log: createLog('test', 'silent'),
      configuration: { probesAddresses },
      onClaim: ({ address, mac, isProbe }) => void (isProbe || heard.push(`${address} is at ${mac}`)),
      onProbed: (address) => heard.push(`probed ${address}`),
    })
    return { heard, addresses }
  }

  test('with addressProbes=false, a gateway uses a pool address at once, even if another host has it', async () => {
    const { heard, addresses } = watch(systemClock, false)
    const [address] = taken
    assert.ok(address)
    addresses.watch(new Map([[address, find('link0')]]))
    addresses.probe(address, find('link0'))
    for (let tick = 0; tick < 5; tick++) {
      await setTimeout(100)
      addresses.tick()
    }
    assert.deepEqual(heard, [`probed ${address}`])
    addresses[Symbol.dispose]()
  })

  test('probes find the host’s MAC before they end, and find nobody for a free address', async () => {
    const { heard, addresses } = watch()
    using _closed = addresses
    const all = [...taken, ...free]
    const link = find('link0')
    addresses.watch(new Map(all.map((address) => [address, link])))
    for (const address of all) addresses.probe(address, link)
    while (heard.filter((each) => each.startsWith('probed')).length < all.length) await setTimeout(20)
    const { mac } = find('host0')
    for (const address of taken) {
      const found = heard.indexOf(`${address} is at ${mac}`)
      assert.ok(found >= 0 && found < heard.indexOf(`probed ${address}`), heard.join(', '))
    }
    for (const address of free)
      assert.deepEqual(
        heard.filter((each) => each.includes(address)),
        [`probed ${address}`],
      )
  })

  test('the agent asks for a watched address every ten seconds, and reports no claim of an address that it no longer watches', async () => {
    let nowMs = 0
    const { heard, addresses } = watch({ ...systemClock, monotonicMs: () => nowMs })
    using _closed = addresses
    const link = find('link0')
    const listen = async (): Promise<number> => {
      heard.length = 0
      addresses.tick()
      await setTimeout(200)
      addresses.tick()
      return heard.length
    }
    addresses.watch(new Map(taken.map((address) => [address, link])))
    const counts: number[] = []
    for (const atMs of [0, 9_999, 10_000]) {
      nowMs = atMs
      counts.push(await listen())
    }
    addresses.watch(new Map())
    nowMs = 20_000
    assert.deepEqual([...counts, await listen()], [2, 0, 2, 0])
  })
})
