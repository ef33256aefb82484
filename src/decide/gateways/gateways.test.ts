import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ciliumPolicy, isovalentPolicy, node, world } from '../../../test/support/world-builder.ts'
import { resolve } from '../resolve.ts'
import type { World } from '../world.ts'

/** The IPv4 group as text: preferred egress IPs, `|`, standby egress IPs, and `keeps` if flows keep the address. */
function groupOf(parts: Partial<World>): string {
  const { groups } = resolve(world(parts))
  const [group] = [...groups.values()].filter(({ preferred }) => !preferred[0]?.includes(':'))
  if (group === undefined) return 'none'
  const { preferred, standby, keepsAddress } = group
  return [...preferred, '|', ...standby, ...(keepsAddress ? ['keeps'] : [])].join(' ')
}

const spread = (spec: Parameters<typeof isovalentPolicy>[1] = {}): Partial<World> => ({
  isovalentPolicies: [isovalentPolicy('p', spec)],
})
const limited = [
  { nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, interface: 'net0', maxGatewayNodes: 1 },
]
const unreachable = (...names: string[]): Partial<World> => ({ unreachableNodes: new Set(names) })
const cordoned = (name: string): Partial<World> => ({
  nodes: world().nodes.map((each) => ({ ...each, isCordoned: each.name === name })),
})
const [east, west] = ['172.18.0.42', '172.18.0.43']
/** The node lacks the interface, so it has no egress IP. */
const bare = (name: string): Partial<World> => ({
  egressNodes: world().egressNodes.map((each) =>
    each.metadata.name === name ? { ...each, status: { interfaces: [] } } : each,
  ),
})
/** A pool of one address for two gateways. The operator gave it to worker3. */
const floating = {
  egressCIDRs: ['192.0.2.1/32'],
  egressGroups: [{ nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, maxGatewayNodes: 1 }],
  groupStatuses: [
    { activeGatewayIPs: [], healthyGatewayIPs: [], egressIPByGatewayIP: { '172.18.0.4': '192.0.2.1' } },
  ],
}

/* The pod is in zone east, as 172.18.0.42 is; 172.18.0.43 is in zone west. */
const cases: readonly { readonly name: string; readonly world: Partial<World>; readonly expect: string }[] = [
  { name: 'all gateways of a policy that spreads', world: spread(), expect: `${east} ${west} |` },
  { name: 'without an unreachable gateway, which stands by', world: { ...spread(), ...unreachable('worker3') }, expect: `${west} | ${east}` },
  { name: 'without one that is cordoned', world: { ...spread(), ...cordoned('worker4') }, expect: `${east} | ${west}` },
  { name: 'all of them when none is reachable, because the datapath finds out', world: { ...spread(), ...unreachable('worker3', 'worker4') }, expect: `${east} ${west} |` },
  { name: 'as many as are wanted, the others stand by', world: spread({ egressGroups: limited }), expect: `${east} | ${west}` },
  { name: 'another gateway in the place of an unreachable one', world: { ...spread({ egressGroups: limited }), ...unreachable('worker3') }, expect: `${west} | ${east}` },
  { name: 'one that has an address, where the first has none', world: { ...spread({ egressGroups: limited }), ...bare('worker3') }, expect: `${west} |` },
  { name: 'one of another zone with localOnlyFirst, where the local one has no address', world: { ...spread({ azAffinity: 'localOnlyFirst' }), ...bare('worker3') }, expect: `${west} |` },
  { name: 'the only one with an address, though it is cordoned', world: { ...spread({ egressGroups: limited }), ...bare('worker3'), ...cordoned('worker4') }, expect: `${west} |` },
  { name: 'an address of a pool that an unreachable gateway still has', world: { ...spread(floating), ...unreachable('worker3') }, expect: '192.0.2.1 |' },
  { name: 'an address of a pool that is still with a gateway that is cordoned', world: { ...spread(floating), ...cordoned('worker3') }, expect: '192.0.2.1 |' },
  { name: 'those of the zone alone with localOnly', world: spread({ azAffinity: 'localOnly' }), expect: `${east} |` },
  { name: 'no other zone with localOnly, even if the local gateway is unreachable', world: { ...spread({ azAffinity: 'localOnly' }), ...unreachable('worker3') }, expect: `${east} |` },
  { name: 'those of the zone with localOnlyFirst, the others stand by', world: spread({ azAffinity: 'localOnlyFirst' }), expect: `${east} | ${west}` },
  { name: 'those of other zones with localOnlyFirst when the local gateway is unreachable', world: { ...spread({ azAffinity: 'localOnlyFirst' }), ...unreachable('worker3') }, expect: `${west} | ${east}` },
  { name: 'a full list with localPriority', world: { ...spread({ azAffinity: 'localPriority', egressGroups: limited }), ...unreachable('worker3') }, expect: `${west} | ${east}` },
  { name: 'the one address of a policy with one gateway', world: { ciliumPolicies: [ciliumPolicy('p')] }, expect: `${east} | ${west} keeps` },
  { name: 'the same egress IP while its gateway is unreachable, because its successor answers for it', world: { ciliumPolicies: [ciliumPolicy('p')], ...unreachable('worker3') }, expect: `${east} | ${west} keeps` },
] // biome-ignore format: a table

describe('open to new flows are', () => {
  for (const { name, world: parts, expect } of cases) test(name, () => assert.equal(groupOf(parts), expect))
})

test('a cordoned node is a gateway if there is no other', () => {
  const nodes = [
    ...world().nodes.filter(({ name }) => !['worker3', 'worker4'].includes(name)),
    { ...node('worker3', { ips: ['172.18.0.4'], labels: { 'egress-gw': 'true' } }), isCordoned: true },
  ]
  assert.equal(groupOf({ ...spread(), nodes }), `${east} |`)
})
