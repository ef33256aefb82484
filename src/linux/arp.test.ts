import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../test/support/private-namespaces.ts'
import { parseAddress } from '../net/address.ts'
import { arpFrame, arpSender, LinkQuestions } from './arp.ts'
import { putAddress } from './device-addresses.ts'
import { createVeth, deleteDevice, findDevice, setDevice } from './devices.ts'
import { Netlink } from './netlink.ts'

const address = (text: string) => parseAddress(text) ?? assert.fail(text)
const mac = '02:00:5e:00:53:01'
const [own, there, nowhere] = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map(address) as [never, never, never]

test('an ARP request names its sender and broadcasts the question for the target', () => {
  const frame = arpFrame({
    operation: 'request',
    sender: { mac, address: own },
    target: { address: there },
  })
  assert.equal(frame.length, 60)
  assert.equal(frame.subarray(0, 14).toString('hex'), 'ffffffffffff02005e0053010806')
  assert.equal(frame.subarray(14, 32).toString('hex'), '000108000604000102005e005301c0000201')
  assert.equal(frame.subarray(32, 42).toString('hex'), '000000000000c0000202')
  assert.equal(arpSender(frame), own)
})

test('other frames, truncated frames and address probes have no sender', () => {
  const frame = arpFrame({ operation: 'reply', sender: { mac, address: own }, target: { mac, address: own } })
  const otherKind = Buffer.from(frame)
  otherKind.writeUInt16BE(0x0800, 12)
  const probe = Buffer.from(frame)
  probe.writeUInt32BE(0, 28)
  for (const each of [otherKind, frame.subarray(0, 41), probe, Buffer.alloc(0)])
    assert.equal(arpSender(each), undefined)
})

const skip = privateNamespacesRefused
if (!skip) enterPrivateNamespaces()

describe('a neighbour', { skip }, () => {
  let netlink: Netlink
  before(() => {
    netlink = new Netlink()
    createVeth(netlink, { name: 'near0', mtu: 1500, peer: { name: 'far0', mtu: 1500 } })
    for (const name of ['near0', 'far0'])
      setDevice(netlink, findDevice(netlink, name)?.index ?? 0, { isUp: true })
    putAddress(netlink, { index: findDevice(netlink, 'far0')?.index ?? 0, address: there, prefixLength: 24 })
  })
  after(() => {
    deleteDevice(netlink, findDevice(netlink, 'near0')?.index ?? 0)
    netlink[Symbol.dispose]()
  })

  test('that is present answers, and an absent one does not', async () => {
    const { index, mac: near = '' } = findDevice(netlink, 'near0') ?? assert.fail('near0')
    using questions = new LinkQuestions({ ifindex: index, mac: near, address: own })
    assert.deepEqual(questions.answers(), new Set())
    for (const each of [there, nowhere]) assert.equal(questions.ask(each), true)
    const seen = new Set()
    for (let tries = 0; tries < 100 && !seen.has(there); tries++) {
      await setTimeout(20)
      for (const each of questions.answers()) seen.add(each)
    }
    assert.deepEqual(seen, new Set([there]))
  })

  test('cannot be asked by a deleted device', () => {
    assert.throws(() => new LinkQuestions({ ifindex: 4_000_000, mac, address: own }), { code: 'ENODEV' })
  })
})
