import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dissect } from '../../test/packets/dissect.ts'
import { parseAddress } from '../net/address.ts'
import { gratuitousArp } from './announce.ts'
import { unsolicitedNeighbour } from './neighbour-discovery.ts'

const mac = '02:00:5e:00:53:01'
const address = (text: string) => parseAddress(text) ?? assert.fail(text)

test('an IPv4 address is announced by a gratuitous ARP request', () => {
  const frame = gratuitousArp(mac, address('172.18.0.42'), 'request')
  assert.equal(frame.length, 60)
  assert.equal(frame.subarray(0, 14).toString('hex'), 'ffffffffffff02005e0053010806')
  assert.equal(frame.subarray(14, 22).toString('hex'), '0001080006040001')
  assert.equal(frame.subarray(22, 32).toString('hex'), '02005e005301ac12002a')
  assert.equal(frame.subarray(32, 42).toString('hex'), '000000000000ac12002a')
})

test('an IPv4 address is also announced by a reply, whose target is the sender', () => {
  const frame = gratuitousArp(mac, address('172.18.0.42'), 'reply')
  assert.equal(frame.subarray(14, 42).toString('hex'), `0001080006040002${'02005e005301ac12002a'.repeat(2)}`)
})

test('an IPv6 address is announced by an unsolicited neighbour advertisement that overrides', () => {
  const frame = unsolicitedNeighbour(mac, address('fc00::42'))
  assert.equal(frame.subarray(0, 14).toString('hex'), '33330000000102005e00530186dd')
  assert.equal(frame.readUInt8(14 + 7), 255, 'hop limit: from this link')
  assert.equal(frame.readUInt32BE(14 + 40 + 4), 0x20000000)
  assert.equal(frame.subarray(14 + 40 + 8, 14 + 40 + 24).toString('hex'), `fc${'0'.repeat(28)}42`)
  assert.deepEqual(dissect(frame).wrongChecksums, [])
})
