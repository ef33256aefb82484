import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { type Address, addressFromBytes, parseAddress } from './address.ts'
import {
  addressAt,
  comparePrefixes,
  contains,
  covers,
  familyOfPrefix,
  hostPrefix,
  overlaps,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixLength,
  prefixLength128,
} from './prefix.ts'

function prefix(text: string): Prefix {
  return parsePrefix(text) ?? assert.fail(`${text} is no prefix`)
}

describe('a prefix is read', () => {
  const cases: readonly { name: string; text: string; expect: string | undefined }[] = [
    { name: 'as it is when canonical', text: '172.18.0.0/16', expect: '172.18.0.0/16' },
    { name: 'with its host bits set to zero', text: '10.1.2.3/8', expect: '10.0.0.0/8' },
    {
      name: 'with its host bits set to zero inside an octet',
      text: '10.1.2.255/30',
      expect: '10.1.2.252/30',
    },
    { name: 'when it is everything', text: '0.0.0.0/0', expect: '0.0.0.0/0' },
    { name: 'when it is every IPv6 address', text: '::/0', expect: '::/0' },
    { name: 'in canonical IPv6', text: 'FC00:0::1/7', expect: 'fc00::/7' },
    { name: 'as IPv4 when it is a mapped one', text: '::ffff:10.0.0.0/104', expect: '10.0.0.0/8' },
    { name: 'and refused when half of it is mapped', text: '::ffff:10.0.0.0/90', expect: undefined },
    { name: 'and refused without a length', text: '10.0.0.0', expect: undefined },
    { name: 'and refused with an empty length', text: '10.0.0.0/', expect: undefined },
    { name: 'and refused with a mask', text: '10.0.0.0/255.0.0.0', expect: undefined },
    { name: 'and refused with a length too long', text: '10.0.0.0/33', expect: undefined },
    { name: 'and refused with an IPv6 length too long', text: '::/129', expect: undefined },
    { name: 'and refused with a negative length', text: '10.0.0.0/-1', expect: undefined },
    { name: 'and refused with a leading zero', text: '10.0.0.0/08', expect: undefined },
    { name: 'and refused with two lengths', text: '10.0.0.0/8/8', expect: undefined },
  ]
  for (const { name, text, expect } of cases) test(name, () => assert.equal(parsePrefix(text), expect))
})

test('lengths count the bits of its own family, or of the 128 that the kernel compares', () => {
  assert.deepEqual(
    ['10.0.0.0/8', '0.0.0.0/0', 'fc00::/7', '::/0'].map((text) => [
      prefixAddress(prefix(text)),
      familyOfPrefix(prefix(text)),
      prefixLength(prefix(text)),
      prefixLength128(prefix(text)),
    ]),
    [
      ['10.0.0.0', 4, 8, 104],
      ['0.0.0.0', 4, 0, 96],
      ['fc00::', 6, 7, 7],
      ['::', 6, 0, 0],
    ],
  )
})

test('no IPv6 prefix contains an IPv4 address, not even the one that contains everything', () => {
  assert.equal(contains(prefix('::/0'), parseAddress('10.0.0.1')!), false)
  assert.equal(contains(prefix('0.0.0.0/0'), parseAddress('::1')!), false)
})

/** Few bits differ, so that addresses inside and outside are about equally common. */
const nearBytes = (size: 4 | 16) =>
  fc.tuple(fc.integer({ min: 0, max: size - 1 }), fc.integer({ min: 0, max: 255 })).map(([index, value]) => {
    const bytes = new Uint8Array(size).fill(0x20)
    bytes[index] = value
    return [...bytes]
  })
const caseOf = (size: 4 | 16) =>
  fc.tuple(nearBytes(size), nearBytes(size), fc.integer({ min: 0, max: size * 8 }))

test('an independent library says the same of which addresses a prefix contains', () => {
  fc.assert(
    fc.property(fc.oneof(caseOf(4), caseOf(16)), ([network, bytes, length]) => {
      const [base, other] = [ipaddr.fromByteArray(network), ipaddr.fromByteArray(bytes)]
      const expected = (base as ipaddr.IPv6).match(other as ipaddr.IPv6, length)
      assert.equal(contains(prefix(`${base}/${length}`), parseAddress(other.toString())!), expected)
    }),
    { numRuns: 1000 },
  )
})

test('two prefixes overlap exactly when one contains the other one’s first address', () => {
  fc.assert(
    fc.property(caseOf(4), fc.integer({ min: 0, max: 32 }), ([first, second, length], otherLength) => {
      const [a, b] = [prefix(`${first.join('.')}/${length}`), prefix(`${second.join('.')}/${otherLength}`)]
      const expected = contains(a, prefixAddress(b)) || contains(b, prefixAddress(a))
      assert.equal(overlaps(a, b), expected)
      assert.equal(overlaps(b, a), expected)
    }),
  )
})

test('a prefix covers itself and what is inside it, and nothing wider or of the other family', () => {
  const outer = prefix('10.0.0.0/8')
  for (const [inner, expected] of [
    ['10.0.0.0/8', true],
    ['10.1.0.0/16', true],
    ['11.0.0.0/16', false],
    ['0.0.0.0/0', false],
    ['::/128', false],
  ] as const)
    assert.equal(covers(outer, prefix(inner)), expected, inner)
})

test('the prefix of a host contains one address', () => {
  assert.equal(hostPrefix('10.0.0.7' as Address), '10.0.0.7/32')
  assert.equal(hostPrefix('2001:db8::7' as Address), '2001:db8::7/128')
})

test('addresses are counted from the prefix’s own, and there is none beyond its end', () => {
  assert.equal(addressAt(prefix('10.244.1.0/24'), 0), '10.244.1.0')
  assert.equal(addressAt(prefix('10.244.1.0/24'), 254n), '10.244.1.254')
  assert.equal(addressAt(prefix('fd00::/64'), 2n ** 64n - 1n), 'fd00::ffff:ffff:ffff:ffff')
  assert.throws(() => addressAt(prefix('10.244.1.0/24'), 256), RangeError)
  assert.throws(() => addressAt(prefix('10.244.1.0/24'), -1), RangeError)
})

test('prefixes are ordered by address, the shorter before the longer, IPv4 first', () => {
  const sorted = ['10.0.0.0/8', '10.0.0.0/16', '10.1.0.0/16', '::/0', '2001:db8::/32']
  assert.deepEqual([...sorted].reverse().map(prefix).sort(comparePrefixes), sorted)
})

test('a mapped address is inside an IPv4 prefix', () => {
  const mapped = addressFromBytes(Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3]))
  assert.equal(contains(prefix('10.0.0.0/8'), mapped), true)
})
