import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../net/address.ts'
import { parsePrefix } from '../net/prefix.ts'
import { addressPattern, prefixPattern } from './address-pattern.ts'

const isAddress = (text: string): boolean => new RegExp(addressPattern).test(text)
const isPrefix = (text: string): boolean => new RegExp(prefixPattern).test(text)

/** Strings that are addresses, or nearly. */
const group = fc.constantFrom('0', '1', 'ffff', 'db8', '12345', '', 'a', '00', 'g')
const nearly6 = fc.array(group, { minLength: 1, maxLength: 9 }).map((groups) => groups.join(':'))
const nearly4 = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 300 }).map(String), fc.constantFrom('01', '')), {
    minLength: 3,
    maxLength: 5,
  })
  .map((octets) => octets.join('.'))

/** Of IPv6 addresses with an IPv4 part the patterns accept more than the parser. They do not count the groups before that part. */
const isMixed = (address: string): boolean =>
  address.includes(':') && (address.includes('.') || (parseAddress(address) ?? '').includes('.'))

test('the address pattern accepts the addresses that the parser accepts', () => {
  fc.assert(
    fc.property(fc.oneof(nearly4, nearly6, fc.ipV4(), fc.ipV6()), (text) => {
      if (isMixed(text)) assert.ok(isAddress(text) || parseAddress(text) === undefined)
      else assert.equal(isAddress(text), parseAddress(text) !== undefined, text)
    }),
    { numRuns: 20_000 },
  )
})

test('the prefix pattern accepts the prefixes that the parser accepts', () => {
  fc.assert(
    fc.property(
      fc.oneof(nearly4, nearly6, fc.ipV4(), fc.ipV6()),
      fc.integer({ min: 0, max: 200 }),
      (address, length) => {
        const text = `${address}/${length}`
        if (isMixed(address)) assert.ok(isPrefix(text) || parsePrefix(text) === undefined)
        else assert.equal(isPrefix(text), parsePrefix(text) !== undefined, text)
      },
    ),
    { numRuns: 20_000 },
  )
})

test('the patterns have no character that a CEL string must escape', () => {
  for (const pattern of [addressPattern, prefixPattern]) assert.doesNotMatch(pattern, /[\\']/)
})
