import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ciliumPolicy, isovalentPolicy, pod, prefix, world } from '../../../test/support/world-builder.ts'
import type { SelectedPods } from '../../api/egress-node.ts'
import { resolve } from '../resolve.ts'
import { explainPolicies } from '../status/status.ts'
import type { World } from '../world.ts'

const labels = { org: 'alliance' }
const all = [{ podSelector: {} }]

test('a node counts its own pods for each policy that selects them', () => {
  const { selected } = resolve(
    world({
      ciliumPolicies: [ciliumPolicy('few'), ciliumPolicy('none', { selectors: [] })],
      isovalentPolicies: [isovalentPolicy('all', { selectors: all })],
      pods: [
        pod('xwing', { labels }),
        pod('tie', { ips: ['10.244.1.8', 'fd00::8'] }),
        pod('elsewhere', { labels, nodeName: 'worker2' }),
        pod('host', { labels, hostNetwork: true }),
      ],
    }),
  )
  assert.deepEqual(selected, [
    { policy: 'CiliumEgressGatewayPolicy few', pods: 1, families: ['IPv4'] },
    { policy: 'IsovalentEgressGatewayPolicy all', pods: 2, families: ['IPv4', 'IPv6'] },
  ])
})

/** The world with what each node reports, in the order of the nodes. */
function reporting(...reports: readonly (readonly SelectedPods[])[]): World {
  return world({
    ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs: ['0.0.0.0/0', '::/0'], egressGateway })],
    egressNodes: world().egressNodes.map((each, index) => ({
      ...each,
      status: { ...each.status, selected: [...(reports[index] ?? [])] },
    })),
  })
}
const egressGateway = { nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, egressIP: '172.18.0.42' }
const selected = (pods: number, ...families: SelectedPods['families']): SelectedPods => ({
  policy: 'CiliumEgressGatewayPolicy p',
  pods,
  families,
})
const typesOf = (of: World, withoutPods: ReadonlySet<string> = new Set()): readonly string[] =>
  (explainPolicies(of, { withoutPods })[0]?.conditions ?? []).map(({ type, reason }) => `${type} ${reason}`)

test('the summary has the sum of what the nodes of the cluster report', () => {
  const of = reporting([selected(2, 'IPv4')], [selected(40, 'IPv4')], [selected(1, 'IPv4')])
  assert.equal(explainPolicies(of)[0]?.summary.pods, 43)
  const nodes = of.nodes.filter(({ name }) => name !== 'worker2')
  assert.equal(explainPolicies({ ...of, nodes })[0]?.summary.pods, 3)
})

test('a policy that has selected no pod for a while says so', () => {
  const key = new Set(['CiliumEgressGatewayPolicy p'])
  assert.deepEqual(typesOf(reporting(), key), ['Ready GatewaysFound', 'SelectsNoPods NoPodMatches'])
})

describe('a dropped family is reported', () => {
  const dualStack = (of: World): World => ({
    ...of,
    nodes: of.nodes.map((each) => ({ ...each, podCIDRs: [prefix('10.244.0.0/16'), prefix('fd00::/64')] })),
  })
  const dropped = ['Ready GatewaysFound', 'DropsFamily NoIPv6EgressIP']
  test('if a selected pod has it', () =>
    assert.deepEqual(typesOf(reporting([selected(2, 'IPv4')], [selected(1, 'IPv6')])), dropped))
  test('before a pod is selected, if nodes have pod CIDRs of it', () =>
    assert.deepEqual(typesOf(dualStack(reporting())), dropped))
  test('not if no pod of the cluster has it', () =>
    assert.deepEqual(typesOf(reporting()), ['Ready GatewaysFound']))
  test('not if no selected pod has it', () =>
    assert.deepEqual(typesOf(dualStack(reporting([selected(2, 'IPv4')]))), ['Ready GatewaysFound']))
})
