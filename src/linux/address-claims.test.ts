import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { dissect } from '../../test/packets/dissect.ts'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../test/support/private-namespaces.ts'
import { parseAddress } from '../net/address.ts'
import { openLinkClaims } from './address-claims.ts'
import { announce } from './announce.ts'
import { arpClaim, arpProbe } from './arp.ts'
import { deleteAddress, putAddress } from './device-addresses.ts'
import { createVeth, deleteDevice, findDevice, setDevice } from './devices.ts'
import { neighbourClaim, neighbourProbe, unsolicitedNeighbour } from './neighbour-discovery.ts'
import { Netlink } from './netlink.ts'

const mac = '02:00:5e:00:53:01'
const address = (text: string) => parseAddress(text) ?? assert.fail(text)
const [taken4, taken6] = [address('192.0.2.2'), address('fd00::1:2')]
const [free4, free6] = [address('192.0.2.3'), address('fd00::1:3')]

test('an ARP probe has no sender address, and says for which address its host asks', () => {
  const frame = arpProbe(mac, taken4)
  assert.equal(frame.subarray(22, 32).toString('hex'), '02005e00530100000000')
  assert.deepEqual(arpClaim(frame), { address: taken4, mac, isProbe: true })
})

test('a neighbour probe comes from no address and goes to the solicited-node group of its target', () => {
  const frame = neighbourProbe(mac, taken6)
  assert.equal(frame.subarray(0, 6).toString('hex'), '3333ff010002')
  assert.equal(frame.subarray(22, 38).toString('hex'), '0'.repeat(32))
  assert.equal(frame.subarray(38, 54).toString('hex'), `ff0200000000000000000001ff010002`)
  assert.deepEqual(dissect(frame).wrongChecksums, [])
  assert.deepEqual(neighbourClaim(frame), { address: taken6, mac, isProbe: true })
})

test('an advertisement claims its target, and an ordinary solicitation claims nothing', () => {
  assert.deepEqual(neighbourClaim(unsolicitedNeighbour(mac, taken6)), {
    address: taken6,
    mac,
    isProbe: false,
  })
  const question = Buffer.from(neighbourProbe(mac, taken6))
  question.set([0xfd], 22)
  for (const frame of [question, question.subarray(0, 77), Buffer.alloc(0)])
    assert.equal(neighbourClaim(frame), undefined)
})

const skip = privateNamespacesRefused
if (!skip) enterPrivateNamespaces()

describe('on a link', { skip }, () => {
  let netlink: Netlink
  const find = (name: string) => {
    const { index, mac: own = '' } = findDevice(netlink, name) ?? assert.fail(name)
    return { index, mac: own }
  }
  before(() => {
    netlink = new Netlink()
    createVeth(netlink, { name: 'near0', mtu: 1500, peer: { name: 'far0', mtu: 1500 } })
    for (const name of ['near0', 'far0']) setDevice(netlink, find(name).index, { isUp: true })
    const { index } = find('far0')
    putAddress(netlink, { index, address: taken4, prefixLength: 24 })
    putAddress(netlink, { index, address: taken6, prefixLength: 64 })
  })
  after(() => {
    deleteDevice(netlink, find('near0').index)
    netlink[Symbol.dispose]()
  })

  /** By address, whose MAC claimed it, after so many probes as it takes for `until`. */
  async function ask(until: readonly string[]): Promise<ReadonlyMap<string, string>> {
    using link = openLinkClaims(find('near0'))
    const found = new Map<string, string>()
    for (let tries = 0; tries < 200 && until.some((each) => !found.has(each)); tries++) {
      for (const each of [taken4, taken6, free4, free6]) link.probe(each)
      await setTimeout(20)
      for (const claim of link.claims()) if (!claim.isProbe) found.set(claim.address, claim.mac)
    }
    return found
  }

  test('the kernel of a host that has an address answers a probe with its MAC, and nobody answers for a free one', async () => {
    const far = find('far0').mac
    const found = await ask([taken4, taken6])
    assert.deepEqual([found.get(taken4), found.get(taken6)], [far, far])
    assert.deepEqual([found.has(free4), found.has(free6)], [false, false])
  })

  test('an announcement is a claim, without a question', async () => {
    using link = openLinkClaims(find('near0'))
    link.probe(free6)
    const { index, mac: far } = find('far0')
    const found = new Map<string, string>()
    for (let tries = 0; tries < 100 && found.size < 2; tries++) {
      for (const each of [free4, free6]) announce({ index, mac: far }, each)
      await setTimeout(20)
      for (const claim of link.claims())
        if ([free4, free6].includes(claim.address)) found.set(claim.address, claim.mac)
    }
    assert.deepEqual(
      found,
      new Map([
        [free4, far],
        [free6, far],
      ]),
    )
  })

  test('a host that gave an address up answers no more', async () => {
    deleteAddress(netlink, { index: find('far0').index, address: taken4, prefixLength: 24 })
    const found = await ask([taken6])
    assert.equal(found.has(taken4), false)
  })
})
