import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ciliumPolicy, pod, prefix, world } from '../../../../test/support/world-builder.ts'
import { addressAt, longestMatch } from '../../../net/prefix.ts'
import { readEgressRestriction } from '../../policies/network-policies.ts'
import { resolve } from '../../resolve.ts'
import type { NetworkRule } from '../../tables.ts'
import type { Settings } from '../../world.ts'
import { allowsNothing } from './denied-pods.ts'

const alliance = { org: 'alliance' }
const pods = [
  pod('xwing', { labels: { ...alliance, app: 'xwing' } }),
  pod('awing', { labels: alliance, ips: ['10.244.1.8'] }),
]

function deniedBy(cidr: string, podSelector: object, settings: Partial<Settings> = {}) {
  const spec = { podSelector, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr } }] }] }
  const base = world({ ciliumPolicies: [ciliumPolicy('p')], pods })
  const networkPolicies = [
    readEgressRestriction({ namespace: 'default', name: 'grounded' }, spec) ?? [],
  ].flat()
  return resolve({ ...base, networkPolicies, settings: { ...base.settings, ...settings } }).denied
}

describe('a node reports pods whose NetworkPolicies allow no destination of an egress policy', () => {
  const policy = 'CiliumEgressGatewayPolicy p'
  const networkPolicies = ['default/grounded']

  test('all of them', () =>
    assert.deepEqual(deniedBy('10.0.0.0/8', {}), [
      { policy, networkPolicies, pods: 2, example: 'default/awing' },
    ]))

  test('one of them', () =>
    assert.deepEqual(deniedBy('10.0.0.0/8', { matchLabels: { app: 'xwing' } }), [
      { policy, networkPolicies, pods: 1, example: 'default/xwing' },
    ]))

  test('none if they allow a part of a destination', () =>
    assert.deepEqual(deniedBy('172.18.7.0/24', {}), []))

  test('none if nobody enforces them', () =>
    assert.deepEqual(deniedBy('10.0.0.0/8', {}, { networkPolicies: 'bypass' }), []))
})

/* All prefixes of 10.0.0.0/28: sixteen addresses can be asked one by one. */
const small = prefix('10.0.0.0/28')
const addresses = Array.from({ length: 16 }, (_, index) => addressAt(small, index))
const anyPrefix = fc
  .tuple(fc.integer({ min: 28, max: 32 }), fc.integer({ min: 0, max: 15 }))
  .map(([length, last]) => prefix(`10.0.0.${last & (0xff << (32 - length))}/${length}`))
const anyRule = fc.constantFrom<NetworkRule>({ action: 'deny' }, { action: 'allow' })
const anyRules = fc
  .array(fc.tuple(anyPrefix, anyRule), { maxLength: 6 })
  .map((rules) => new Map([[prefix('0.0.0.0/0'), { action: 'deny' } as NetworkRule], ...rules]))

test('an agent reports a pod as denied only if its NetworkPolicies allow no address of the egress policy', () => {
  const prefixes = fc.array(anyPrefix, { minLength: 1, maxLength: 3 })
  let isDenied = 0
  fc.assert(
    fc.property(
      anyRules,
      prefixes,
      fc.array(anyPrefix, { maxLength: 1 }),
      (rules, destinations, exclusions) => {
        const isSelected = (address: (typeof addresses)[number]): boolean => {
          const longest = longestMatch([...destinations, ...exclusions], address)
          return longest !== undefined && !exclusions.includes(longest)
        }
        const allowed = addresses.filter((address) => {
          const longest = longestMatch(rules.keys(), address)
          return isSelected(address) && longest !== undefined && rules.get(longest)?.action === 'allow'
        })
        const answer = allowsNothing(rules, { destinations, exclusions })
        if (answer) {
          isDenied++
          assert.deepEqual(allowed, [])
        }
        if ([...rules.values()].every(({ action }) => action === 'deny')) assert.equal(answer, true)
      },
    ),
    { numRuns: 2000 },
  )
  assert.ok(isDenied > 100)
})
