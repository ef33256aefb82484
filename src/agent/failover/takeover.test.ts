import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import type { GatewayLife } from '../../decide/gateways/takeover.ts'
import { deleteAddress, listAddresses, putAddress } from '../../linux/device-addresses.ts'
import { createBridge, deleteDevice, findDevice, setDevice } from '../../linux/devices.ts'
import { Netlink } from '../../linux/netlink.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { listNodeDevices } from '../node/node-network.ts'
import { HeldAddresses } from './held-addresses.ts'
import { Takeover } from './takeover.ts'

const skip = privateNamespacesRefused
const directory = mkdtempSync(join(tmpdir(), 'sallyport-takeover-'))
after(() => rmSync(directory, { recursive: true }))
if (!skip) enterPrivateNamespaces()

const ip = (text: string): Address => parseAddress(text) as Address
const [self, owner, other] = [ip('192.0.2.11'), ip('192.0.2.12'), ip('192.0.2.13')]
const egressIp = ip('192.0.2.42')

describe('an egress IP of another', { skip }, () => {
  let netlink: Netlink
  let index = 0
  let nowMs = 0
  let files = 0
  let statePath = ''
  const clock = { ...systemClock, monotonicMs: () => nowMs }
  const silentSince = (sinceMs: number): GatewayLife => ({ isSilent: true, isWitnessed: true, sinceMs })
  const wellSince = (sinceMs: number): GatewayLife => ({ isSilent: false, isWitnessed: false, sinceMs })
  const start = () =>
    new Takeover({ netlink, held: new HeldAddresses(statePath), clock, log: createLog('test', 'silent') })
  const see = (
    takeover: Takeover,
    lives: Readonly<Record<Address, GatewayLife>>,
    order: readonly Address[] = [owner, self],
  ): boolean => {
    takeover.update({
      orders: new Map([[egressIp, order]]),
      self,
      gateways: new Map(Object.entries(lives) as [Address, GatewayLife][]),
      devices: listNodeDevices(netlink),
      places: new Map(),
    })
    return listAddresses(netlink).some(
      ({ address, prefixLength }) => address === egressIp && prefixLength === 32,
    )
  }

  before(() => {
    netlink = new Netlink()
    createBridge(netlink, { name: 'link0', mtu: 1500 })
    index = findDevice(netlink, 'link0')?.index ?? 0
    setDevice(netlink, index, { isUp: true })
    putAddress(netlink, { index, address: self, prefixLength: 24 })
  })
  after(() => {
    deleteDevice(netlink, index)
    netlink[Symbol.dispose]()
  })
  beforeEach(() => {
    if (listAddresses(netlink).some(({ address }) => address === egressIp))
      deleteAddress(netlink, { index, address: egressIp, prefixLength: 32 })
    statePath = join(directory, `${files++}/held-addresses.json`)
    nowMs = 1_000_000
  })

  test('is taken when its owner is silent, and handed back when that one has been well for five seconds', () => {
    const takeover = start()
    assert.equal(see(takeover, { [owner]: wellSince(nowMs) }), false)
    assert.equal(see(takeover, { [owner]: silentSince(nowMs) }), true)
    const backMs = nowMs + 1_000
    nowMs = backMs + 4_999
    assert.equal(see(takeover, { [owner]: wellSince(backMs) }), true)
    nowMs = backMs + 5_000
    assert.equal(see(takeover, { [owner]: wellSince(backMs) }), false)
  })

  test('stays longer each time that its owner was away again: moves are bounded', () => {
    const takeover = start()
    const waits = [0, 1, 2, 3].map(() => {
      assert.equal(see(takeover, { [owner]: silentSince(nowMs) }), true)
      const backMs = nowMs
      while (see(takeover, { [owner]: wellSince(backMs) })) nowMs += 1_000
      return (nowMs - backMs) / 1_000
    })
    assert.deepEqual(waits, [5, 10, 20, 40])
  })

  test('is not taken from one who has not been heard of yet, nor while one before this node lives', () => {
    const takeover = start()
    assert.equal(see(takeover, {}), false)
    assert.equal(
      see(takeover, { [owner]: silentSince(0), [other]: wellSince(0) }, [owner, other, self]),
      false,
    )
    assert.equal(see(takeover, { [owner]: silentSince(0) }, [owner, other, self]), false)
    assert.equal(
      see(takeover, { [owner]: silentSince(0), [other]: silentSince(0) }, [owner, other, self]),
      true,
    )
  })

  test('stays with the next agent, which knows whose it is and hands it back', () => {
    assert.equal(see(start(), { [owner]: silentSince(nowMs) }), true)
    const next = start()
    assert.equal(see(next, {}), true)
    assert.equal(see(next, { [owner]: wellSince(nowMs - 5_000) }), false)
  })

  test('is left at once by a node that no policy selects any more', () => {
    const takeover = start()
    assert.equal(see(takeover, { [owner]: silentSince(nowMs) }), true)
    assert.equal(see(takeover, { [owner]: silentSince(nowMs) }, [owner]), false)
  })

  test('whose link no device has is a problem in words', () => {
    const problems = start().update({
      orders: new Map([[ip('203.0.113.9'), [owner, self]]]),
      self,
      gateways: new Map([[owner, silentSince(nowMs)]]),
      devices: listNodeDevices(netlink),
      places: new Map(),
    })
    assert.deepEqual(problems, [
      'The gateway of egress IP 203.0.113.9 is unreachable, and this node cannot take the address over because none of its devices is on the same link.',
    ])
  })

  test('that the node has by itself is never taken away', () => {
    putAddress(netlink, { index, address: egressIp, prefixLength: 32 })
    const takeover = start()
    assert.equal(see(takeover, { [owner]: silentSince(nowMs) }), true)
    assert.equal(see(takeover, { [owner]: wellSince(0) }), true)
  })
})
