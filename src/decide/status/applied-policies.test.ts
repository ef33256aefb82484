import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ciliumPolicy, egressNode, node, world } from '../../../test/support/world-builder.ts'
import type { CiliumEgressGatewayPolicy } from '../../api/cilium-egress-gateway-policy.ts'
import { digestPolicies, listPolicies } from '../policies/policies.ts'
import { type AppliedMemories, type Lag, noteApplied, startOfApplied, withLag } from './applied-policies.ts'
import type { TimelessCondition } from './conditions.ts'

const overdueMs = 60_000

type Policies = readonly CiliumEgressGatewayPolicy[]

const policy = (name: string, generation = 1): CiliumEgressGatewayPolicy => {
  const { metadata, ...rest } = ciliumPolicy(name)
  return { ...rest, metadata: { ...metadata, uid: `uid-of-${name}`, generation } }
}
const digestOf = (ciliumPolicies: Policies): string =>
  digestPolicies(listPolicies({ ciliumPolicies, isovalentPolicies: [] }))

/** An operator, and what its nodes have applied. */
class Cluster {
  #memory: AppliedMemories = startOfApplied
  readonly #applied = new Map<string, Policies | undefined>()
  readonly #notReady = new Set<string>()
  nowMs = 1_000

  applies(policies: Policies | undefined, ...names: readonly string[]): this {
    for (const name of names) this.#applied.set(name, policies)
    return this
  }

  breaks(name: string): this {
    this.#notReady.add(name)
    return this
  }

  restartsOperator(): this {
    this.#memory = startOfApplied
    return this
  }

  /** What the operator finds about the policy `p` if the API server has these policies. */
  sees(...ciliumPolicies: Policies): Lag {
    const names = [...this.#applied.keys()]
    const seen = world({
      ciliumPolicies,
      nodes: names.map((name) => ({
        ...node(name, { ips: ['192.0.2.1'] }),
        isReady: !this.#notReady.has(name),
      })),
      egressNodes: names.map((name) => {
        const policies = this.#applied.get(name)
        const status = policies === undefined ? {} : { appliedPolicies: digestOf(policies) }
        return { ...egressNode(name, 0, []), status }
      }),
    })
    const { memory, lags } = noteApplied(this.#memory, seen, listPolicies(seen), this.nowMs)
    this.#memory = memory
    return lags.get('CiliumEgressGatewayPolicy p') ?? assert.fail('the policy is missing')
  }
}

const all: Lag = { waiting: [], behind: [] }

describe('a policy waits for the nodes', () => {
  test('that have not applied it, until they have', () => {
    const cluster = new Cluster().applies([], 'a', 'b')
    assert.deepEqual(cluster.sees(policy('p')), { waiting: ['a', 'b'], behind: [] })
    cluster.applies([policy('p')], 'a')
    assert.deepEqual(cluster.sees(policy('p')), { waiting: ['b'], behind: [] })
    cluster.applies([policy('p')], 'b')
    assert.deepEqual(cluster.sees(policy('p')), all)
  })

  test('again after each edit, but not after an edit of another policy', () => {
    const cluster = new Cluster().applies([policy('p')], 'a')
    assert.deepEqual(cluster.sees(policy('p')), all)
    assert.deepEqual(cluster.sees(policy('p'), policy('q')), all)
    assert.deepEqual(cluster.sees(policy('p', 2), policy('q')), { waiting: ['a'], behind: [] })
  })

  test('that applied it together with older or newer edits of others', () => {
    const cluster = new Cluster().applies([], 'a', 'b')
    cluster.sees(policy('p'))
    cluster.sees(policy('p'), policy('q'))
    cluster.sees(policy('p'), policy('q', 2))
    cluster.applies([policy('p'), policy('q')], 'a')
    assert.deepEqual(cluster.sees(policy('p'), policy('q', 2)), { waiting: ['b'], behind: [] })
  })

  test('that applied a set which the operator has not seen yet', () => {
    const cluster = new Cluster().applies([policy('p'), policy('q')], 'a')
    assert.deepEqual(cluster.sees(policy('p')), { waiting: ['a'], behind: [] })
    assert.deepEqual(cluster.sees(policy('p'), policy('q')), all)
  })

  test('that still have a deleted policy of the same name', () => {
    const other = { ...policy('p'), metadata: { ...policy('p').metadata, uid: 'of-another' } }
    const cluster = new Cluster().applies([policy('p')], 'a')
    cluster.sees(policy('p'))
    assert.deepEqual(cluster.sees(other), { waiting: ['a'], behind: [] })
  })

  test('when the same set of policies comes back, only if they are not at it', () => {
    const cluster = new Cluster().applies([policy('p')], 'a')
    cluster.sees(policy('p'))
    cluster.sees(policy('p'), policy('q'))
    assert.deepEqual(cluster.sees(policy('p')), all)
  })
})

describe('a policy does not wait for a node', () => {
  test('whose agent is older and reports no digest', () => {
    assert.deepEqual(new Cluster().applies(undefined, 'a').sees(policy('p')), all)
  })

  test('that is not Ready, and names it until it has applied the policy', () => {
    const cluster = new Cluster().applies([], 'a').breaks('a')
    assert.deepEqual(cluster.sees(policy('p')), { waiting: [], behind: ['a'] })
    cluster.applies([policy('p')], 'a')
    assert.deepEqual(cluster.sees(policy('p')), all)
  })

  test('for longer than half a minute, and names it afterwards', () => {
    const cluster = new Cluster().applies([], 'a')
    cluster.sees(policy('p'))
    cluster.nowMs += overdueMs
    assert.deepEqual(cluster.sees(policy('p')), { waiting: [], behind: ['a'] })
  })

  test('that joins later', () => {
    const cluster = new Cluster().applies([policy('p')], 'a')
    cluster.sees(policy('p'))
    assert.deepEqual(cluster.applies([], 'b').sees(policy('p')), all)
  })

  const ready = (reason: 'one' | 'behind'): CiliumEgressGatewayPolicy => {
    const told = { status: 'True', message: '', lastTransitionTime: '', observedGeneration: 1 } as const
    const conditions = [
      { ...told, type: 'Ready', reason: 'GatewaysFound' },
      ...(reason === 'behind' ? [{ ...told, type: 'NodesBehind', reason: 'PolicyNotApplied' }] : []),
    ]
    return { ...policy('p'), status: { conditions } }
  }

  test('again when another operator leads and the policy was Ready', () => {
    const cluster = new Cluster().applies([], 'a')
    assert.deepEqual(cluster.sees(ready('one')), all)
    assert.deepEqual(cluster.restartsOperator().sees(ready('behind')), { waiting: [], behind: ['a'] })
  })
})

describe('the conditions of a policy', () => {
  const ready: TimelessCondition = { type: 'Ready', status: 'True', reason: 'GatewaysFound', message: '' }
  const failed: TimelessCondition = { type: 'Ready', status: 'False', reason: 'NoGateway', message: '' }
  const shown = (condition: TimelessCondition, lag: Lag): readonly string[] =>
    withLag([condition], lag).map(({ type, status, reason }) => `${type} ${status} ${reason}`)

  for (const [what, condition, lag, expected] of [
    ['are Ready if all nodes have applied it', ready, all, ['Ready True GatewaysFound']],
    [
      'are not Ready while a node is waited for',
      ready,
      { waiting: ['a'], behind: [] },
      ['Ready False Applying'],
    ],
    ['keep a reason that says more', failed, { waiting: ['a'], behind: [] }, ['Ready False NoGateway']],
    [
      'name the nodes that nobody waits for',
      ready,
      { waiting: [], behind: ['a'] },
      ['Ready True GatewaysFound', 'NodesBehind True PolicyNotApplied'],
    ],
  ] as const)
    test(what, () => assert.deepEqual(shown(condition, lag), expected))
})
