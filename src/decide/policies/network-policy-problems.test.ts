import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, ciliumPolicy, pod, world } from '../../../test/support/world-builder.ts'
import { flowVerdict } from '../flow-verdicts.ts'
import { resolve } from '../resolve.ts'
import type { EgressRestriction, World } from '../world.ts'
import { readEgressRestriction } from './network-policies.ts'
import { NetworkSets } from './network-sets.ts'

type Spec = Parameters<typeof readEgressRestriction>[1]

/** Nothing may leave the pods that it selects. */
const denyAll: Spec = { podSelector: {}, policyTypes: ['Egress'] }

function networkPolicy(name: string, spec: Spec, namespace = 'default'): EgressRestriction[] {
  return [readEgressRestriction({ namespace, name }, spec) ?? []].flat()
}

/** The X-Wing, which the egress policy selects, chained to another plugin. */
function chained(networkPolicies: readonly EgressRestriction[]): World {
  const base = world({ ciliumPolicies: [ciliumPolicy('outpost')] })
  return { ...base, networkPolicies, settings: { ...base.settings, isChained: true } }
}

function outcome(of: World): string {
  const answer = flowVerdict(resolve(of), address('10.244.1.7'), address('172.18.0.7'))
  if (answer.action === 'drop') return answer.reason
  return answer.action === 'egress' ? answer.egressIps.join(' ') : answer.action
}

const egressIp = '172.18.0.42'
const refused = 'DROP_NETWORK_POLICY'

describe('a NetworkPolicy that cannot be evaluated', () => {
  const everywhere = '0.0.0.0/0'
  const cases: readonly {
    readonly name: string
    readonly egress?: Spec['egress']
    readonly podSelector?: Spec['podSelector']
    readonly says: string
  }[] = [
    {
      name: 'names a port',
      egress: [{ ports: [{ port: 'https' }] }],
      says: 'default/n: spec.egress[0].ports[0]: the named port "https" is a port of no destination outside the cluster; write its number. Correct the NetworkPolicy',
    },
    {
      name: 'has a prefix that is none',
      egress: [{ to: [{ ipBlock: { cidr: '172.18.0.0' } }] }],
      says: 'default/n: spec.egress[0].to[0]: ipBlock.cidr "172.18.0.0" is no prefix. Correct the NetworkPolicy',
    },
    {
      name: 'has an exception that is no prefix',
      egress: [{ to: [{ ipBlock: { cidr: everywhere, except: ['x'] } }] }],
      says: 'default/n: spec.egress[0].to[0]: ipBlock.except "x" is no prefix. Correct the NetworkPolicy',
    },
    {
      name: 'has a peer of two kinds',
      egress: [{ to: [{ ipBlock: { cidr: everywhere }, podSelector: {} }] }],
      says: 'default/n: spec.egress[0].to[0]: the peer has an ipBlock and a selector. Correct the NetworkPolicy',
    },
    {
      name: 'has a range of ports that ends before it begins',
      egress: [{ ports: [{ port: 443, endPort: 80 }] }],
      says: 'default/n: spec.egress[0].ports[0]: 443 to 80 is no range of ports. Correct the NetworkPolicy',
    },
    {
      name: 'has an end of a range alone',
      egress: [{ ports: [{ endPort: 500 }] }],
      says: 'default/n: spec.egress[0].ports[0]: endPort 500 has no port before it. Correct the NetworkPolicy',
    },
    {
      name: 'has an unknown protocol',
      egress: [{ ports: [{ protocol: 'constructor', port: 443 }] }],
      says: 'default/n: spec.egress[0].ports[0]: the protocol "constructor" is unknown. Correct the NetworkPolicy',
    },
    {
      name: 'has an unknown selector, although it allows everything',
      egress: [{}],
      podSelector: { matchExpressions: [{ key: 'org', operator: 'Near' as 'In' }] },
      says: 'default/n: spec.podSelector: the requirement on org has the unknown operator Near, so it may select any pod of the namespace. Correct the NetworkPolicy',
    },
    {
      name: 'allows more ranges of ports than fit',
      egress: [{ ports: Array.from({ length: 33 }, (_, index) => ({ port: 443 + 2 * index })) }],
      says: 'NetworkPolicies allow more than 32 ranges of ports for 0.0.0.0/0, so Sallyport allows none of them. Use fewer ranges',
    },
  ]
  for (const { name, egress = [], podSelector = {}, says } of cases)
    test(`allows nothing and is reported if it ${name}`, () => {
      const of = chained(networkPolicy('n', { podSelector, policyTypes: ['Egress'], egress }))
      assert.equal(outcome(of), refused)
      assert.equal(resolve(of).refusals[0]?.problems[0], says)
    })

  test('leaves its other rules in force', () => {
    const egress = [{ ports: [{ port: 'https' }, { port: 443 }] }]
    assert.equal(outcome(chained(networkPolicy('n', { ...denyAll, egress }))), egressIp)
  })

  test('is not reported if only a rule about pods names a port', () => {
    const egress = [{ to: [{ podSelector: {} }], ports: [{ port: 'dns' }] }]
    assert.deepEqual(resolve(chained(networkPolicy('n', { ...denyAll, egress }))).refusals, [])
  })

  test('is reported in stand-alone mode if no egress policy selects the pod', () => {
    const egress = [{ ports: [{ port: 'https' }] }]
    const of = { ...chained(networkPolicy('n', { ...denyAll, egress })), pods: [pod('vader')] }
    assert.equal(resolve(of).refusals.length, 0)
    const { refusals } = resolve({ ...of, settings: { ...of.settings, isChained: false } })
    assert.deepEqual(
      refusals.map(({ pod, policies }) => ({ pod, policies })),
      [{ pod: 'default/vader', policies: [] }],
    )
  })
})

describe('NetworkPolicies that have no room in the tables', () => {
  const blocks = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ ipBlock: { cidr: `10.0.${index}.0/24` } }))
  const policy = (name: string, count: number, ...ports: readonly number[]) =>
    networkPolicy(name, {
      ...denyAll,
      egress: [{ to: blocks(count), ports: ports.map((port) => ({ port })) }],
    })
  const says =
    'the NetworkPolicies of this node together have too many prefixes or lists of ports. Use fewer or larger prefixes, or move pods to other nodes'

  test('allow nothing and are reported; others stay in force', () => {
    const sets = new NetworkSets({ rules: 8, portLists: 1 })
    assert.deepEqual(sets.setOf(policy('fits', 4)).problems, [])
    const { id, problems } = sets.setOf(policy('does-not', 5))
    assert.deepEqual(problems, [says])
    const { networkRules } = sets.tables
    assert.deepEqual(
      [...(networkRules.get(id) ?? [])],
      [
        ['0.0.0.0/0', { action: 'deny' }],
        ['::/0', { action: 'deny' }],
      ],
    )
    assert.equal(
      [...networkRules.values()].reduce((sum, { size }) => sum + size, 0),
      8,
    )
  })

  test('so are those with one list of ports too many, unless it is another’s, too', () => {
    const sets = new NetworkSets({ rules: 99, portLists: 1 })
    assert.deepEqual(sets.setOf(policy('first', 1, 443)).problems, [])
    assert.deepEqual(sets.setOf(policy('alike', 2, 443)).problems, [])
    assert.deepEqual(sets.setOf(policy('other', 1, 80)).problems, [says])
    assert.equal(sets.tables.portLists.size, 1)
  })
})
