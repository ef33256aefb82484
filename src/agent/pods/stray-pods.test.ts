import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Address, parseAddress } from '../../net/address.ts'
import { type Prefix, parsePrefix } from '../../net/prefix.ts'
import { strayPodProblems } from './stray-pods.ts'

const pod = (name: string, ...addresses: readonly string[]) => ({
  pod: { namespace: 'default', name },
  addresses: addresses.map((text) => parseAddress(text) as Address),
})
const prefixes = (...texts: readonly string[]) => texts.map((text) => parsePrefix(text) as Prefix)

test('pods in the node’s prefixes are no problem', () => {
  const pods = [pod('a', '10.244.1.2', 'fd00:1::2')]
  assert.deepEqual(strayPodProblems(pods, prefixes('10.244.1.0/24', 'fd00:1::/64')), [])
})

test('after the Node was registered again with other prefixes, the pods that kept running are named', () => {
  const pods = [pod('a', '10.244.1.2'), pod('b', '10.244.9.2')]
  const [problem = ''] = strayPodProblems(pods, prefixes('10.244.9.0/24'))
  assert.match(problem, /pod CIDRs \(10\.244\.9\.0\/24\).*Delete default\/a so that/)
})

test('if there are many such pods, five are named and the others counted', () => {
  const pods = [...'abcdefg'].map((name, index) => pod(name, `10.244.1.${index + 2}`))
  assert.match(strayPodProblems(pods, prefixes('10.244.9.0/24')).join(), /default\/e and 2 more/)
})

test('a node without prefixes reports no stray pods', () => {
  assert.deepEqual(strayPodProblems([pod('a', '10.244.1.2')], undefined), [])
  assert.deepEqual(strayPodProblems([pod('a', '10.244.1.2')], []), [])
})
