import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ciliumPolicy, isovalentPolicy, world } from '../../../test/support/world-builder.ts'
import type { World } from '../world.ts'
import { lossConditions, type StackWatch, startOfWatch, watchStack } from './stack-losses.ts'
import { explainPolicies } from './status.ts'

/** What is counted after each ten seconds: handed to the stack, left it, left it with another address. */
type Counts = readonly [handed: number, left: number, changed: number]

function watch(counts: readonly Counts[], stepMs = 10_000): StackWatch['loss'] {
  const seen = counts.map(([handed, left, changed]) => ({
    handed: BigInt(handed),
    left: BigInt(left),
    changed: BigInt(changed),
  }))
  return seen.reduce((before, each, at) => watchStack(before, each, at * stepMs), startOfWatch).loss
}

describe('a gateway whose stack forwards', () => {
  const cases: readonly { readonly name: string; readonly counts: readonly Counts[]; readonly stepMs?: number; readonly expect: StackWatch['loss'] }[] = [
    { name: 'knows nothing from one look', counts: [[100, 0, 0]], expect: undefined },
    { name: 'is well if packets leave', counts: [[0, 0, 0], [100, 90, 0]], expect: undefined },
    { name: 'tells that nothing leaves', counts: [[0, 0, 0], [5, 0, 0]], expect: 'NothingLeaves' },
    { name: 'tells that nothing leaves if packets are few at a time', counts: [[0, 0, 0], [2, 0, 0], [4, 0, 0], [6, 0, 0]], expect: 'NothingLeaves' },
    { name: 'says nothing about a few lost packets', counts: [[0, 0, 0], [4, 0, 0]], expect: undefined },
    { name: 'tells that rules change the address of every packet', counts: [[0, 0, 0], [9, 0, 9]], expect: 'AddressChanged' },
    { name: 'tells that rules change the address of some packets', counts: [[0, 0, 0], [9, 5, 4]], expect: 'SomeAddressesChanged' },
    { name: 'remembers that nothing leaves while nothing comes', counts: [[0, 0, 0], [9, 0, 0], [9, 0, 0]], expect: 'NothingLeaves' },
    { name: 'forgets it after five minutes without a packet', counts: [[0, 0, 0], [9, 0, 0], [9, 0, 0]], stepMs: 300_000, expect: undefined },
    { name: 'is well as soon as a packet leaves', counts: [[0, 0, 0], [9, 0, 9], [19, 1, 9]], expect: undefined },
    { name: 'starts again if the counters do', counts: [[90, 0, 0], [7, 0, 0]], expect: undefined },
  ] // biome-ignore format: one line a case
  for (const { name, counts, stepMs, expect } of cases)
    test(name, () => assert.equal(watch(counts, stepMs), expect))
})

describe('a policy', () => {
  const conditions = (
    policies: Partial<World>,
    ...losses: readonly StackWatch['loss'][]
  ): readonly string[] => {
    const egressNodes = world().egressNodes.map((each, at) => {
      const told = lossConditions(losses[at - 2]).map((of) => ({ ...of, lastTransitionTime: '' }))
      return { ...each, status: { ...each.status, conditions: told } }
    })
    const [status] = explainPolicies(world({ ...policies, egressNodes }))
    return (status?.conditions ?? []).map(({ type, status: is, reason }) => `${type}=${is} ${reason}`)
  }
  const one = { ciliumPolicies: [ciliumPolicy('p')] }
  const spread = { isovalentPolicies: [isovalentPolicy('p')] }
  const ready = 'Ready=True GatewaysFound'

  test('is not ready if the rules of its gateway stop every packet', () => {
    for (const loss of ['NothingLeaves', 'AddressChanged'] as const)
      assert.deepEqual(conditions(one, loss), [
        'Ready=False ForwardingStopped',
        `ForwardingStopped=True ${loss}`,
      ])
  })

  test('is ready, with a remark, if they stop some packets, or those of one of two gateways', () => {
    assert.deepEqual(conditions(one, 'SomeAddressesChanged'), [
      ready,
      'ForwardingStopped=True SomeAddressesChanged',
    ])
    assert.deepEqual(conditions(spread, undefined, 'NothingLeaves'), [
      ready,
      'ForwardingStopped=True NothingLeaves',
    ])
  })

  test('says nothing about a gateway that new connections do not use', () =>
    assert.deepEqual(conditions(one, undefined, 'NothingLeaves'), [ready]))
})
