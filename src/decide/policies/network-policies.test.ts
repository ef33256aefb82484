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

function outcome(of: World, destination = '172.18.0.7', source = '10.244.1.7'): string {
  const answer = flowVerdict(resolve(of), address(source), address(destination))
  if (answer.action === 'drop') return answer.reason
  return answer.action === 'egress' ? answer.egressIps.join(' ') : answer.action
}

const egressIp = '172.18.0.42'
const refused = 'DROP_NETWORK_POLICY'
const oneServer = [{ to: [{ ipBlock: { cidr: '172.18.0.7/32' } }] }]

describe('what an egress policy claims of a pod that a NetworkPolicy restricts', () => {
  const cases: readonly { readonly name: string; readonly spec: Spec; readonly expect: string }[] = [
    { name: 'is dropped where nothing may leave', spec: denyAll, expect: refused },
    {
      name: 'is dropped also where the destination is allowed, because no plugin enforces the rest',
      spec: { ...denyAll, egress: oneServer },
      expect: refused,
    },
    {
      name: 'is dropped where egress rules are given and no types',
      spec: { podSelector: {}, egress: oneServer },
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
      spec: { policyTypes: ['Ingress'], egress: oneServer },
      expect: egressIp,
    },
    {
      name: 'leaves where a rule allows everything',
      spec: { ...denyAll, egress: [...oneServer, {}] },
      expect: egressIp,
    },
    {
      name: 'leaves where that rule has empty lists',
      spec: { ...denyAll, egress: [{ to: [], ports: [] }] },
      expect: egressIp,
    },
    {
      name: 'is dropped where a rule allows all destinations and one port',
      spec: { ...denyAll, egress: [{ ports: [{ port: 443 }] }] },
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

  test('leaves in stand-alone mode, where no plugin enforces them', () => {
    assert.equal(outcome(chained(networkPolicy('n', denyAll), { isChained: false })), egressIp)
  })
})

describe('where a NetworkPolicy restricts a pod', () => {
  const restricted = chained(
    networkPolicy('n', { ...denyAll, podSelector: { matchLabels: { side: 'light' } } }),
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
})
