import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { naiveOutcome } from '../../test/support/naive-resolver.ts'
import { randomRuns } from '../../test/support/random-runs.ts'
import { anyWorld, destinations, destinations6 } from '../../test/support/random-worlds.ts'
import { parseAddress } from '../net/address.ts'
import { flowVerdict } from './flow-verdicts.ts'
import { resolve } from './resolve.ts'
import type { Tables } from './tables.ts'
import type { World, WorldPod } from './world.ts'

function flows(of: WorldPod): readonly (readonly [source: string, destination: string])[] {
  const [ipv4, ipv6] = of.ips
  return [
    ...destinations.map((each) => [ipv4!, each] as const),
    ...destinations6.map((each) => [ipv6!, each] as const),
  ]
}

function outcome(tables: Tables, source: string, destination: string): string {
  const answer = flowVerdict(tables, parseAddress(source)!, parseAddress(destination)!)
  if (answer.action === 'egress') return [...answer.egressIps].sort().join(' ')
  return answer.action === 'drop' ? answer.reason : answer.action
}

test('every pod’s flow to every destination has the answer that a naive reading of the rules gives', () => {
  const seen = new Map<string, number>()
  fc.assert(
    fc.property(anyWorld, (any) => {
      const tables = resolve(any)
      for (const each of any.pods)
        for (const [source, destination] of flows(each)) {
          const expected = naiveOutcome(any, each, destination)
          assert.equal(outcome(tables, source, destination), expected)
          const kind = /^DROP|^masq/.test(expected) ? expected : `${expected.split(' ').length} egress IPs`
          seen.set(kind, (seen.get(kind) ?? 0) + 1)
        }
    }),
    { numRuns: randomRuns(1500) },
  )
  for (const kind of ['masquerade', 'DROP_NO_GATEWAY', 'DROP_NO_EGRESS_IP', '1 egress IPs', '2 egress IPs'])
    assert.ok(
      (seen.get(kind) ?? 0) > 10,
      `the worlds are too tame: ${kind} came up ${seen.get(kind) ?? 0} times`,
    )
})

test('the order in which objects were seen decides nothing', () => {
  const shuffled = anyWorld.chain((any) =>
    fc
      .tuple(
        ...([any.nodes, any.pods, any.ciliumPolicies, any.isovalentPolicies, any.egressNodes] as const).map(
          (list) => fc.shuffledSubarray([...list] as unknown[], { minLength: list.length }),
        ),
      )
      .map(
        ([nodes, pods, ciliumPolicies, isovalentPolicies, egressNodes]) =>
          [any, { ...any, nodes, pods, ciliumPolicies, isovalentPolicies, egressNodes } as World] as const,
      ),
  )
  fc.assert(
    fc.property(shuffled, ([one, other]) =>
      assert.deepEqual(canonical(resolve(other)), canonical(resolve(one))),
    ),
    { numRuns: randomRuns(300) },
  )
})

/** Maps compare by content; what has an order that means something keeps it. */
function canonical(tables: Tables): unknown {
  const pools = new Map(tables.pools.map((pool) => [`${pool.address} ${pool.purpose}`, pool.blocks]))
  return { ...tables, pools }
}

test('nothing that a table points to is missing', () => {
  fc.assert(
    fc.property(anyWorld, (any) => {
      const tables = resolve(any)
      for (const { policySet } of tables.podsByIp.values())
        assert.ok(policySet === 0n || tables.rules.has(policySet))
      for (const rule of [...tables.rules.values()].flatMap((rules) => [...rules.values()])) {
        assert.ok(tables.policies.has(rule.policy))
        if (rule.action === 'egress') assert.ok((tables.groups.get(rule.group)?.preferred.length ?? 0) > 0)
      }
      for (const egressIp of [...tables.groups.values()].flatMap(({ preferred, standby }) => [
        ...preferred,
        ...standby,
      ])) {
        const order = tables.egressIps.get(egressIp)?.order ?? []
        assert.ok(
          order.length > 0 && order.every((each) => tables.nodes.has(each)),
          `${egressIp} has a holder that is a node`,
        )
      }
    }),
    { numRuns: randomRuns(300) },
  )
})
