import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { address } from '../../../test/support/world-builder.ts'
import type { Address } from '../../net/address.ts'
import {
  type GatewayReachability,
  handBackAfterMs,
  ineligibleForMs,
  planTakeovers,
  type Taken,
} from './takeover.ts'

const ip = address('172.18.0.42')
const [owner, second, self] = ['172.18.0.4', '172.18.0.3', '172.18.0.2'].map(address) as [
  Address, Address, Address,
] // biome-ignore format: three
const nowMs = 1_000_000
const silent: GatewayReachability = { isUnreachable: true, isWitnessed: true, sinceMs: nowMs - 400 }
const unwitnessed: GatewayReachability = { ...silent, isWitnessed: false }
const wellFor = (ms: number): GatewayReachability => ({
  isUnreachable: false,
  isWitnessed: false,
  sinceMs: nowMs - ms,
})

function holds(
  order: readonly Address[],
  lives: readonly (readonly [Address, GatewayReachability])[],
  { taken, cutOffForMs }: { readonly taken?: Taken; readonly cutOffForMs?: number },
): boolean {
  return planTakeovers({
    orders: new Map([[ip, order]]),
    self,
    gateways: new Map(lives),
    taken: new Map(taken === undefined ? [] : [[ip, taken]]),
    cutOffSinceMs: cutOffForMs === undefined ? undefined : nowMs - cutOffForMs,
    nowMs,
  }).has(ip)
}

describe('a node answers for an egress IP', () => {
  const order = [owner, second, self]
  const cases = [
    { name: 'never in its own place', order: [self, owner], lives: [[owner, silent]], expect: false },
    { name: 'never if it is not in the order', order: [owner, second], lives: [[owner, silent], [second, silent]], expect: false },
    { name: 'when all gateways before it are unreachable', order, lives: [[owner, silent], [second, silent]], expect: true },
    { name: 'not while a gateway before it is reachable', order, lives: [[owner, silent], [second, wellFor(10)]], expect: false },
    { name: 'not while the state of a gateway before it is unknown', order, lives: [[owner, silent]], expect: false },
    { name: 'still, after its agent has restarted and knows no gateway yet', order, lives: [], taken: { times: 1 }, expect: true },
    { name: 'still, while the owner has been back for less than five seconds', order, lives: [[owner, wellFor(4_999)], [second, silent]], taken: { times: 1 }, expect: true },
    { name: 'no longer when the owner has been back for five seconds', order, lives: [[owner, wellFor(5_000)], [second, silent]], taken: { times: 1 }, expect: false },
    { name: 'no longer when another gateway before it has been back for five seconds', order, lives: [[owner, silent], [second, wellFor(5_000)]], taken: { times: 1 }, expect: false },
    { name: 'for a longer time when the owner was unreachable three times', order, lives: [[owner, wellFor(19_999)], [second, silent]], taken: { times: 3 }, expect: true },
    { name: 'not when no answer of another node has shown that its own path works', order, lives: [[owner, silent], [second, unwitnessed]], expect: false },
    { name: 'not while it reaches no node', order, lives: [[owner, silent], [second, silent]], cutOffForMs: 0, expect: false },
    { name: 'still, while it has reached no node for less than three seconds', order, lives: [[owner, silent], [second, silent]], taken: { times: 1 }, cutOffForMs: 2_999, expect: true },
    { name: 'still, when the nodes that showed that its path works are unreachable as well', order, lives: [[owner, unwitnessed], [second, unwitnessed]], taken: { times: 1 }, expect: true },
    { name: 'no longer when it has reached no node for three seconds', order, lives: [[owner, silent], [second, silent]], taken: { times: 1 }, cutOffForMs: 3_000, expect: false },
  ] as const // biome-ignore format: a table
  for (const { name, order: given, lives, expect, ...rest } of cases)
    test(name, () => assert.equal(holds(given, lives, rest), expect))
})

test('waiting times double with each failure, up to five minutes', () => {
  assert.deepEqual(
    [1, 2, 3, 20].map((times) => handBackAfterMs({ times })),
    [5_000, 10_000, 20_000, 300_000],
  )
  assert.deepEqual([1, 2, 3, 4, 20].map(ineligibleForMs), [0, 0, 5_000, 10_000, 300_000])
})

test('exactly one reachable gateway answers for each address: the first of its order', () => {
  const nodes = ['172.18.0.2', '172.18.0.3', '172.18.0.4', '172.18.0.5'].map(address)
  const anyOrder = fc.shuffledSubarray(nodes, { minLength: 1 })
  fc.assert(
    fc.property(anyOrder, fc.subarray(nodes), (order, dead) => {
      const gateways = new Map(
        nodes.map((node) => [node, dead.includes(node) ? silent : wellFor(60_000)] as const),
      )
      const alive = order.filter((node) => !dead.includes(node))
      const takers = alive.filter((node) =>
        planTakeovers({ orders: new Map([[ip, order]]), self: node, gateways, taken: new Map(), nowMs }).has(
          ip,
        ),
      )
      const expected = alive[0] === undefined || alive[0] === order[0] ? [] : [alive[0]]
      assert.deepEqual(takers, expected)
    }),
  )
})
