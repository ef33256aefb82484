import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { address, prefix } from '../../../test/support/world-builder.ts'
import { compareAddresses } from '../../net/address.ts'
import { contains } from '../../net/prefix.ts'
import { type EgressPool, type Grants, grantFromPool, isOfPool, type PoolGroup } from './egress-pool.ts'

const pool = (prefixes: readonly string[], older: readonly string[] = []): EgressPool => ({
  prefixes: prefixes.map(prefix),
  olderPrefixes: older.map(prefix),
})

/** Gateways are numbers here: the last of their node IP. */
const gateway = (number: number) => address(`172.18.0.${number}`)

function group(
  active: readonly number[],
  granted: Readonly<Record<number, string>> = {},
  absent: readonly number[] = [],
): PoolGroup {
  return {
    active: active.map(gateway),
    absent: absent.map(gateway),
    granted: new Map(
      Object.entries(granted).map(([number, text]) => [gateway(Number(number)), { 4: address(text) }]),
    ),
  }
}

/** `gateway: addresses` of each group; `-` before those that got none. */
function describeGrants(
  of: EgressPool,
  groups: readonly PoolGroup[],
  addressesInUse: readonly string[] = [],
) {
  const decided = grantFromPool(of, groups, new Set(addressesInUse.map(address)))
  const lines = decided.groups.flatMap((grants) =>
    [...grants].map(([to, ips]) => `${to.split('.')[3]}: ${Object.values(ips).join(' ')}`),
  )
  return [...lines.sort(), ...[...decided.unserved].map((each) => `- ${each.split('.')[3]}`)]
}

interface Case {
  readonly name: string
  readonly pool: EgressPool
  readonly groups: readonly PoolGroup[]
  readonly addressesInUse?: readonly string[]
  readonly expect: readonly string[]
}

const cases: readonly Case[] = [
  {
    name: 'addresses in order, without the network’s own and broadcast',
    pool: pool(['192.0.2.0/30']),
    groups: [group([2, 3, 4])],
    expect: ['2: 192.0.2.1', '3: 192.0.2.2', '- 4'],
  },
  {
    name: 'both addresses of a /31 and the one of a /32, one prefix after the other',
    pool: pool(['192.0.2.9/32', '192.0.2.0/31']),
    groups: [group([2, 3, 4])],
    expect: ['2: 192.0.2.9', '3: 192.0.2.0', '4: 192.0.2.1'],
  },
  {
    name: 'an address of each family, and not the IPv6 routers’ own',
    pool: pool(['192.0.2.0/24', 'fd00::/64']),
    groups: [group([2])],
    expect: ['2: 192.0.2.1 fd00::1'],
  },
  {
    name: 'what was given before, and new ones around it',
    pool: pool(['192.0.2.0/29']),
    groups: [group([2, 3], { 3: '192.0.2.1' })],
    expect: ['2: 192.0.2.2', '3: 192.0.2.1'],
  },
  {
    name: 'another one where the old one is no longer of the pool',
    pool: pool(['192.0.2.0/29']),
    groups: [group([2], { 2: '198.51.100.1' })],
    expect: ['2: 192.0.2.1'],
  },
  {
    name: 'nothing to a gateway that stands by',
    pool: pool(['192.0.2.0/29']),
    groups: [group([2], { 2: '192.0.2.2', 3: '192.0.2.1' })],
    expect: ['2: 192.0.2.2'],
  },
  {
    name: 'to one that is gone for now what it had',
    pool: pool(['192.0.2.0/29']),
    groups: [group([2], { 3: '192.0.2.1' }, [3])],
    expect: ['2: 192.0.2.2', '3: 192.0.2.1'],
  },
  {
    name: 'the address of one that is gone to an active one that would have none: a floating address',
    pool: pool(['192.0.2.1/32']),
    groups: [group([2], { 3: '192.0.2.1' }, [3])],
    expect: ['2: 192.0.2.1'],
  },
  {
    name: 'two addresses to a node that is in two groups',
    pool: pool(['192.0.2.0/29']),
    groups: [group([2]), group([2])],
    expect: ['2: 192.0.2.1', '2: 192.0.2.2'],
  },
  {
    name: 'one address once, whatever a status says',
    pool: pool(['192.0.2.0/29']),
    groups: [group([2, 3], { 2: '192.0.2.4', 3: '192.0.2.4' })],
    expect: ['2: 192.0.2.4', '3: 192.0.2.1'],
  },
  {
    name: 'nothing that a node has or a policy names',
    pool: pool(['192.0.2.0/29']),
    groups: [group([2])],
    addressesInUse: ['192.0.2.1', '192.0.2.2'],
    expect: ['2: 192.0.2.3'],
  },
  {
    name: 'nothing of an older policy’s prefixes, however large they are',
    pool: pool(['fd00::/64'], ['fd00::/65']),
    groups: [group([2])],
    expect: ['2: fd00::8000:0:0:0'],
  },
  {
    name: 'nothing at all where an older policy has everything',
    pool: pool(['fd00::/64'], ['fd00::/48']),
    groups: [group([2])],
    expect: ['- 2'],
  },
]

describe('a pool gives', () => {
  for (const { name, pool: of, groups, addressesInUse, expect } of cases)
    test(name, () => assert.deepEqual(describeGrants(of, groups, addressesInUse), expect))
})

/* ---- whatever comes and goes ---- */

const cidr = fc.constantFrom(
  '10.0.0.0/29',
  '10.0.0.4/30',
  '10.0.0.0/28',
  '10.0.1.1/32',
  'fd00::/125',
  'fd00::4/126',
)
const anyGroup = fc
  .shuffledSubarray([2, 3, 4, 5, 6])
  .chain((known) => fc.integer({ min: 0, max: known.length }).map((count) => [known, count] as const))
const step = fc.array(anyGroup, { minLength: 2, maxLength: 2 })
const history = fc.record({
  older: fc.array(cidr, { maxLength: 2 }),
  prefixes: fc.array(cidr, { minLength: 1, maxLength: 3 }),
  steps: fc.array(step, { minLength: 2, maxLength: 8 }),
})

test('when gateways come and go, no address has two owners, all are from the pool, and an active gateway keeps its address', () => {
  let kept = 0
  fc.assert(
    fc.property(history, ({ older, prefixes, steps }) => {
      const of = pool(prefixes, older)
      let before: readonly Grants[] = [new Map(), new Map()]
      for (const each of steps) {
        const groups = each.map(([known, count], index) => ({
          active: known.slice(0, count).map(gateway),
          absent: known.slice(count).map(gateway),
          granted: before[index] ?? new Map(),
        }))
        const decided = grantFromPool(of, groups, new Set()).groups
        const given = decided.flatMap((grants) => [...grants.values()].flatMap((ips) => Object.values(ips)))
        assert.equal(new Set(given).size, given.length, 'no address has two owners')
        for (const ip of given) {
          assert.ok(prefixes.some((text) => contains(prefix(text), ip)))
          assert.ok(!older.some((text) => contains(prefix(text), ip)))
        }
        for (const [index, { active }] of groups.entries())
          for (const each of active) {
            const had = before[index]?.get(each)
            for (const [family, ip] of Object.entries(had ?? {})) {
              assert.equal(decided[index]?.get(each)?.[Number(family) as 4], ip, `${each} keeps its address`)
              kept++
            }
          }
        before = decided
      }
    }),
  )
  assert.ok(kept > 100, `only ${kept} addresses were kept: the histories are too tame`)
})

test('an active gateway lacks an address only if none is left', () => {
  fc.assert(
    fc.property(history, ({ older, prefixes, steps: [first = []] }) => {
      const of = pool(prefixes, older)
      const groups = first.map(([known]) => group(known))
      const { groups: decided, unserved } = grantFromPool(of, groups, new Set())
      const wanted = groups.reduce((sum, { active }) => sum + active.length, 0)
      for (const family of [4, 6] as const) {
        const given = decided.flatMap((grants) => [...grants.values()].flatMap((ips) => ips[family] ?? []))
        const all = Array.from({ length: 16 }, (_, low) =>
          family === 4 ? [`10.0.0.${low}`, `10.0.1.${low}`] : [`fd00::${low.toString(16)}`],
        )
        const usable = all
          .flat()
          .map(address)
          .filter((ip) => isOfPool(of, ip))
        if (usable.length > 0) assert.equal(given.length, Math.min(wanted, usable.length))
        assert.deepEqual(given.filter((ip) => !usable.includes(ip)).sort(compareAddresses), [])
        if (usable.length > 0 && given.length < wanted) assert.ok(unserved.size > 0)
      }
    }),
  )
})
