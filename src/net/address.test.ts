import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import {
  addressBytes,
  addressFromBigint,
  addressFromBytes,
  addressToBigint,
  compareAddresses,
  familyOf,
  parseAddress,
} from './address.ts'

const bytes4 = fc.uint8Array({ minLength: 4, maxLength: 4 })
/** Zero groups are common, so that every kind of shortening comes up. */
const bytes16 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff])))

describe('an address is read', () => {
  const cases: readonly { name: string; text: string; expect: string | undefined }[] = [
    { name: 'as it is when canonical', text: '172.18.0.42', expect: '172.18.0.42' },
    { name: 'with zeros in the middle shortened', text: '2001:DB8:0:0:1:0:0:1', expect: '2001:db8::1:0:0:1' },
    {
      name: 'with a single zero group left alone',
      text: '2001:db8::1:1:1:1:1',
      expect: '2001:db8:0:1:1:1:1:1',
    },
    { name: 'as IPv4 when it is a mapped one', text: '::ffff:10.0.0.1', expect: '10.0.0.1' },
    { name: 'as IPv4 when it is a mapped one in hexadecimal', text: '::FFFF:a00:1', expect: '10.0.0.1' },
    { name: 'with a trailing IPv4 part', text: '64:ff9b::192.0.2.33', expect: '64:ff9b::c000:221' },
    { name: 'when all is zero', text: '::', expect: '::' },
    { name: 'and refused when empty', text: '', expect: undefined },
    { name: 'and refused with leading zeros', text: '10.0.0.01', expect: undefined },
    { name: 'and refused in shorthand', text: '10.1', expect: undefined },
    { name: 'and refused as one number', text: '167772161', expect: undefined },
    { name: 'and refused in hexadecimal', text: '0x0a.0.0.1', expect: undefined },
    { name: 'and refused with an octet too large', text: '10.0.0.256', expect: undefined },
    { name: 'and refused with a blank', text: ' 10.0.0.1', expect: undefined },
    { name: 'and refused with a line break', text: '10.0.0.1\n', expect: undefined },
    { name: 'and refused with a zone', text: 'fe80::1%eth0', expect: undefined },
    { name: 'and refused with two shortenings', text: '1::2::3', expect: undefined },
    { name: 'and refused with nothing to shorten', text: '1:2:3:4::5:6:7:8', expect: undefined },
    { name: 'and refused with a group too long', text: '::00001', expect: undefined },
    { name: 'and refused with nine groups', text: '1:2:3:4:5:6:7:8:9', expect: undefined },
    { name: 'and refused with a single colon at the end', text: '1:2:3:4:5:6:7:', expect: undefined },
    { name: 'and refused with IPv4 before the end', text: '1.2.3.4::', expect: undefined },
    { name: 'and refused with a length', text: '10.0.0.0/8', expect: undefined },
  ]
  for (const { name, text, expect } of cases) test(name, () => assert.equal(parseAddress(text), expect))
})

test('an independent library reads every canonical IPv6 address as the same bytes, and writes it as RFC 5952', () => {
  fc.assert(
    fc.property(bytes16, (bytes) => {
      const other = ipaddr.IPv6.parse(ipaddr.fromByteArray([...bytes]).toNormalizedString())
      if (other.isIPv4MappedAddress()) return
      const address = addressFromBytes(bytes)
      assert.deepEqual(ipaddr.parse(address).toByteArray(), [...bytes])
      assert.equal(address, other.toRFC5952String())
      assert.equal(parseAddress(other.toNormalizedString()), address)
    }),
  )
})

test('IPv4 goes to 16 mapped bytes and back', () => {
  fc.assert(
    fc.property(bytes4, (bytes) => {
      const address = parseAddress(ipaddr.fromByteArray([...bytes]).toString())
      assert.ok(address)
      assert.equal(familyOf(address), 4)
      assert.deepEqual([...addressBytes(address)].slice(12), [...bytes])
      assert.equal(addressFromBytes(addressBytes(address)), address)
      assert.equal(addressFromBigint(addressToBigint(address)), address)
    }),
  )
})

test('any text that we accept the independent library accepts, too', () => {
  const piece = fc.constantFrom('0', '1', 'ff', 'FFFF', '255', '10', '01', ':', '::', '.', '')
  const text = fc.array(piece, { maxLength: 16 }).map((pieces) => pieces.join(''))
  fc.assert(
    fc.property(text, (candidate) => {
      const address = parseAddress(candidate)
      if (address === undefined) return
      const other = ipaddr.parse(candidate)
      const mapped = other instanceof ipaddr.IPv6 ? other : other.toIPv4MappedAddress()
      assert.deepEqual([...addressBytes(address)], mapped.toByteArray())
    }),
    { numRuns: 2000 },
  )
})

test('addresses are ordered by number, IPv4 first', () => {
  const sorted = [
    '9.0.0.1',
    '10.0.0.1',
    '10.0.0.10',
    '172.18.0.2',
    '::1',
    '2001:db8::2',
    '2001:db8::10',
    'fc00::1',
  ]
  const shuffled = [...sorted].reverse().map((text) => parseAddress(text)!)
  assert.deepEqual(shuffled.sort(compareAddresses), sorted)
})
