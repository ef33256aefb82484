import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, ciliumPolicy, pod, world } from '../../../test/support/world-builder.ts'
import { flowVerdict } from '../flow-verdicts.ts'
import { resolve } from '../resolve.ts'
import { compatibleRows } from '../status/compatible-rows.ts'
import { summariseRefusals } from '../status/refusals.ts'
import type { EgressRestriction, Settings, World } from '../world.ts'
import { readEgressRestriction } from './network-policies.ts'

type Spec = Parameters<typeof readEgressRestriction>[1]

/** Nothing may leave the pods that it selects. */
const denyAll: Spec = { podSelector: {}, policyTypes: ['Egress'] }

function networkPolicy(name: string, spec: Spec, namespace = 'default'): EgressRestriction[] {
  return [readEgressRestriction({ namespace, name }, spec) ?? []].flat()
}

/** The X-Wing, which the egress policy selects, chained to another plugin. */
function chained(networkPolicies: readonly EgressRestriction[], settings: Partial<Settings> = {}): World {
  const base = world({ ciliumPolicies: [ciliumPolicy('outpost', { excludedCIDRs: ['172.18.9.0/24'] })] })
  return { ...base, networkPolicies, settings: { ...base.settings, isChained: true, ...settings } }
}

function outcome(of: World, destination = '172.18.0.7', source = '10.244.1.7', port = 443): string {
  const { isChained } = of.settings
  const answer = flowVerdict(resolve(of), address(source), address(destination), { port, isChained })
  if (answer.action === 'drop') return answer.reason
  return answer.action === 'egress' ? answer.egressIps.join(' ') : answer.action
}

const egressIp = '172.18.0.42'
const refused = 'DROP_NETWORK_POLICY'
const otherServer = [{ to: [{ ipBlock: { cidr: '172.18.0.8/32' } }] }]

describe('what an egress policy claims of a pod that a NetworkPolicy restricts', () => {
  const cases: readonly { readonly name: string; readonly spec: Spec; readonly expect: string }[] = [
    { name: 'is dropped where nothing may leave', spec: denyAll, expect: refused },
    {
      name: 'leaves where the destination is allowed',
      spec: { ...denyAll, egress: [{ to: [{ ipBlock: { cidr: '172.18.0.7/32' } }] }] },
      expect: egressIp,
    },
    {
      name: 'is dropped where another destination is allowed',
      spec: { ...denyAll, egress: otherServer },
      expect: refused,
    },
    {
      name: 'is dropped where the destination is excepted',
      spec: {
        ...denyAll,
        egress: [{ to: [{ ipBlock: { cidr: '172.18.0.0/16', except: ['172.18.0.0/29'] } }] }],
      },
      expect: refused,
    },
    {
      name: 'leaves where one rule excepts the destination and another does not',
      spec: {
        ...denyAll,
        egress: [
          { to: [{ ipBlock: { cidr: '172.18.0.0/16', except: ['172.18.0.0/29'] } }] },
          { to: [{ ipBlock: { cidr: '172.0.0.0/8' } }], ports: [{ port: 400, endPort: 500 }] },
        ],
      },
      expect: egressIp,
    },
    {
      name: 'is dropped where all pods are allowed: they are no destination outside the cluster',
      spec: { ...denyAll, egress: [{ to: [{ podSelector: {} }, { namespaceSelector: {} }] }] },
      expect: refused,
    },
    {
      name: 'is dropped where all IPv6 destinations are allowed',
      spec: { ...denyAll, egress: [{ to: [{ ipBlock: { cidr: '::/0' } }] }] },
      expect: refused,
    },
    {
      name: 'is dropped where egress rules are given and no types',
      spec: { podSelector: {}, egress: otherServer },
      expect: refused,
    },
    {
      name: 'is dropped where both types are named',
      spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
      expect: refused,
    },
    { name: 'leaves where neither types nor egress rules are given', spec: {}, expect: egressIp },
    {
      name: 'leaves where only Ingress is named, whatever the egress rules say',
      spec: { policyTypes: ['Ingress'], egress: otherServer },
      expect: egressIp,
    },
    {
      name: 'leaves where a rule allows everything',
      spec: { ...denyAll, egress: [...otherServer, {}] },
      expect: egressIp,
    },
    {
      name: 'leaves where that rule has empty lists',
      spec: { ...denyAll, egress: [{ to: [], ports: [] }] },
      expect: egressIp,
    },
    {
      name: 'leaves where a rule allows all destinations and the port',
      spec: { ...denyAll, egress: [{ ports: [{ port: 443 }] }] },
      expect: egressIp,
    },
    {
      name: 'is dropped where a rule allows the port of another protocol',
      spec: { ...denyAll, egress: [{ ports: [{ protocol: 'UDP', port: 443 }] }] },
      expect: refused,
    },
    {
      name: 'is dropped where a label selects the pod',
      spec: { ...denyAll, podSelector: { matchLabels: { org: 'alliance' } } },
      expect: refused,
    },
    {
      name: 'leaves where a label selects others',
      spec: { ...denyAll, podSelector: { matchLabels: { org: 'empire' } } },
      expect: egressIp,
    },
    {
      name: 'is dropped where an expression selects the pod',
      spec: {
        ...denyAll,
        podSelector: { matchExpressions: [{ key: 'org', operator: 'NotIn', values: ['empire'] }] },
      },
      expect: refused,
    },
    {
      name: 'leaves where an expression selects others',
      spec: { ...denyAll, podSelector: { matchExpressions: [{ key: 'org', operator: 'DoesNotExist' }] } },
      expect: egressIp,
    },
    {
      name: 'is dropped where a selector cannot be understood: it may mean the pod',
      spec: { ...denyAll, podSelector: { matchExpressions: [{ key: 'org', operator: 'Near' as 'In' }] } },
      expect: refused,
    },
  ]
  for (const { name, spec, expect } of cases)
    test(name, () => assert.equal(outcome(chained(networkPolicy('n', spec))), expect))

  test('leaves where the NetworkPolicy is another namespace’s', () => {
    assert.equal(outcome(chained(networkPolicy('n', denyAll, 'other'))), egressIp)
  })

  test('leaves where one of several allows everything: they add up', () => {
    const allowing = networkPolicy('allow', { ...denyAll, egress: [{}] })
    assert.equal(outcome(chained([...networkPolicy('deny', denyAll), ...allowing])), egressIp)
  })

  test('is dropped where the one that allows everything selects others', () => {
    const others = networkPolicy('allow', {
      podSelector: { matchLabels: { org: 'empire' } },
      egress: [{}],
    })
    assert.equal(outcome(chained([...networkPolicy('deny', denyAll), ...others])), refused)
  })

  test('leaves where the configuration says so', () => {
    assert.equal(outcome(chained(networkPolicy('n', denyAll), { networkPolicies: 'bypass' })), egressIp)
  })

  test('is dropped in stand-alone mode, too', () => {
    assert.equal(outcome(chained(networkPolicy('n', denyAll), { isChained: false })), refused)
  })

  test('is dropped where the configuration says so, also if the destination is allowed', () => {
    const allowing = networkPolicy('n', { ...denyAll, egress: [{ ports: [{ port: 443 }] }] })
    assert.equal(outcome(chained(allowing, { networkPolicies: 'refuse' })), refused)
  })
})

describe('what no egress policy selects of a pod that a NetworkPolicy restricts', () => {
  const egress = [{ to: [{ ipBlock: { cidr: '203.0.113.0/24' } }], ports: [{ port: 443 }] }]
  const restrictions = networkPolicy('n', { ...denyAll, egress })
  const alone = { isChained: false }

  for (const destination of ['172.18.9.1', '203.0.114.9'])
    test(`is dropped in stand-alone mode, and left to the other plugin in chained mode: ${destination}`, () => {
      assert.equal(outcome(chained(restrictions, alone), destination), refused)
      assert.equal(outcome(chained(restrictions), destination), 'masquerade')
    })

  for (const networkPolicies of ['enforce', 'refuse'] as const)
    test(`leaves in stand-alone mode if a rule allows it, with ${networkPolicies}`, () => {
      const of = chained(restrictions, { ...alone, networkPolicies })
      assert.equal(outcome(of, '203.0.113.9'), 'masquerade')
      assert.equal(outcome(of, '203.0.113.9', '10.244.1.7', 80), refused)
    })

  test('leaves in stand-alone mode if NetworkPolicies are bypassed', () => {
    assert.equal(
      outcome(chained(restrictions, { ...alone, networkPolicies: 'bypass' }), '8.8.8.8'),
      'masquerade',
    )
  })
})

describe('where NetworkPolicies are refused and one restricts a pod', () => {
  const restricted = chained(
    networkPolicy('n', { ...denyAll, podSelector: { matchLabels: { side: 'light' } } }),
    { networkPolicies: 'refuse' },
  )
  const light = pod('luke', { labels: { org: 'alliance', side: 'light' } })
  const withPods = (...pods: World['pods'][number][]): World => ({ ...restricted, pods })

  test('what is excluded from the egress policy, and what it does not claim, is the stack’s to judge', () => {
    for (const destination of ['172.18.9.1', '203.0.113.9'])
      assert.equal(outcome(withPods(light), destination), 'masquerade')
  })

  test('another pod of the same egress policy leaves as before', () => {
    const xwing = pod('xwing', { labels: { org: 'alliance' }, ips: ['10.244.1.8'] })
    assert.equal(outcome(withPods(light, xwing), '172.18.0.7', '10.244.1.7'), refused)
    assert.equal(outcome(withPods(light, xwing), '172.18.0.7', '10.244.1.8'), egressIp)
  })

  test('the pod is named with both that select it', () => {
    assert.deepEqual(resolve(withPods(light)).refusals, [
      {
        pod: 'default/luke',
        networkPolicies: ['default/n'],
        policies: ['CiliumEgressGatewayPolicy outpost'],
        problems: [],
      },
    ])
  })

  test('the node reports it by egress policy', () => {
    const leia = pod('leia', { labels: { org: 'alliance', side: 'light' }, ips: ['10.244.1.9'] })
    assert.deepEqual(summariseRefusals(resolve(withPods(light, leia)).refusals), [
      {
        policy: 'CiliumEgressGatewayPolicy outpost',
        networkPolicies: ['default/n'],
        pods: 2,
        example: 'default/leia',
      },
    ])
  })

  test('the compatible view shows no gateway for it', () => {
    const gateways = compatibleRows(withPods(light)).map(({ GatewayIP }) => GatewayIP)
    assert.deepEqual([...new Set(gateways)].sort(), ['Excluded CIDR', 'Not Found'])
  })

  test('a pod that no egress policy selects is not', () => {
    assert.deepEqual(resolve(withPods(pod('vader', { labels: { side: 'light' } }))).refusals, [])
  })

  test('nobody is reported where they are enforced: a NetworkPolicy that denies is not a fault', () => {
    const enforced = {
      ...withPods(light),
      settings: { ...restricted.settings, networkPolicies: 'enforce' },
    } as const
    assert.deepEqual(resolve(enforced).refusals, [])
    const gateways = compatibleRows(enforced).map(({ GatewayIP }) => GatewayIP)
    assert.deepEqual([...new Set(gateways)].sort(), ['172.18.0.4', 'Excluded CIDR'])
  })

  test('the node reports what cannot be evaluated apart', () => {
    const unclear = networkPolicy('web', { ...denyAll, egress: [{ ports: [{ port: 'http' }] }] })
    const of = { ...withPods(light), networkPolicies: [...(restricted.networkPolicies ?? []), ...unclear] }
    const reports = summariseRefusals(resolve(of).refusals)
    assert.deepEqual(
      reports.map(({ networkPolicies, problem }) => ({ networkPolicies, problem: problem?.slice(0, 45) })),
      [
        { networkPolicies: ['default/n', 'default/web'], problem: undefined },
        {
          networkPolicies: ['default/n', 'default/web'],
          problem: 'default/web: spec.egress[0].ports[0]: the nam',
        },
      ],
    )
  })
})
