import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Prefix, parsePrefix } from '../../net/prefix.ts'
import { chooseAddress, routerAddress } from './pod-addresses.ts'

const prefix = (text: string): Prefix => parsePrefix(text) as Prefix
const none = (): boolean => false

test('the router has the first address, and the first pod the next one', () => {
  assert.equal(routerAddress(prefix('10.244.1.0/24')), '10.244.1.1')
  assert.equal(chooseAddress(prefix('10.244.1.0/24'), none, 0)?.address, '10.244.1.2')
})

test('an address that was just released is the last to be assigned again', () => {
  const seen = new Set<string>()
  let last = 0
  for (let count = 0; count < 253; count++) {
    const chosen = chooseAddress(prefix('10.244.1.0/24'), none, last)
    assert.ok(chosen)
    seen.add(chosen.address)
    last = chosen.index
  }
  assert.equal(seen.size, 253)
  assert.equal(seen.has('10.244.1.0') || seen.has('10.244.1.1') || seen.has('10.244.1.255'), false)
  assert.equal(chooseAddress(prefix('10.244.1.0/24'), none, last)?.address, '10.244.1.2')
})

test('a taken address is skipped, and a full prefix yields no address', () => {
  assert.equal(
    chooseAddress(prefix('10.244.1.0/24'), (address) => address === '10.244.1.2', 0)?.address,
    '10.244.1.3',
  )
  assert.equal(
    chooseAddress(prefix('10.244.1.0/24'), () => true, 0),
    undefined,
  )
  assert.equal(chooseAddress(prefix('10.244.1.0/31'), none, 0), undefined)
})

test('only the beginning of an IPv6 prefix is used', () => {
  assert.equal(chooseAddress(prefix('fd00::/64'), none, 0)?.address, 'fd00::2')
})
