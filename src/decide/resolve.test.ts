import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  address,
  allPorts,
  ciliumPolicy,
  device,
  egressNode,
  isovalentPolicy,
  node,
  pod,
  prefix,
  world,
} from '../../test/support/world-builder.ts'
import type { NodeInterface } from '../api/egress-node.ts'
import { flowVerdict } from './flow-verdicts.ts'
import { resolve } from './resolve.ts'
import type { World } from './world.ts'

/** What becomes of the pod's flow, in one line: `172.18.0.42`, `masquerade`, `DROP_…`, `unknownPod`. */
function outcome(of: World, destination: string, source = '10.244.1.7'): string {
  const answer = flowVerdict(resolve(of), address(source), address(destination))
  switch (answer.action) {
    case 'egress':
      return answer.egressIps.join(' ')
    case 'drop':
      return answer.reason
    default:
      return answer.action
  }
}

interface Case {
  readonly name: string
  readonly world: Partial<World>
  readonly to?: string
  readonly from?: string
  readonly expect: string
}

function check(cases: readonly Case[]): void {
  for (const { name, world: parts, to = '172.18.0.7', from, expect } of cases)
    test(name, () => assert.equal(outcome(world(parts), to, from), expect))
}

const outside = '203.0.113.9'
const seed = ciliumPolicy('outpost')
const gatewayNodes = { matchLabels: { 'egress-gw': 'true' } }
const everywhere = ['0.0.0.0/0', '::/0']

describe('a pod leaves', () => {
  check([
    { name: 'by its node when there is no policy', world: {}, expect: 'masquerade' },
    {
      name: 'by the first gateway by name when selected',
      world: { ciliumPolicies: [seed] },
      expect: '172.18.0.42',
    },
    {
      name: 'by its node when the policy selects another',
      world: { ciliumPolicies: [seed], pods: [pod('tiefighter', { labels: { org: 'empire' } })] },
      expect: 'masquerade',
    },
    {
      name: 'by its node towards what is no destination of the policy',
      world: { ciliumPolicies: [seed] },
      to: outside,
      expect: 'masquerade',
    },
    {
      name: 'nowhere when it is not in the world yet',
      world: { ciliumPolicies: [seed], pods: [] },
      expect: 'unknownPod',
    },
    {
      name: 'nowhere when its namespace has not been seen yet, because a selector might miss it',
      world: { ciliumPolicies: [seed], namespaces: [] },
      expect: 'unknownPod',
    },
    {
      name: 'without us when it is in its host’s network',
      world: {
        ciliumPolicies: [seed],
        pods: [pod('xwing', { labels: { org: 'alliance' }, hostNetwork: true })],
      },
      expect: 'unknownPod',
    },
    {
      name: 'by its own node’s tables only',
      world: {
        ciliumPolicies: [seed],
        pods: [pod('xwing', { labels: { org: 'alliance' }, nodeName: 'worker2' })],
      },
      expect: 'unknownPod',
    },
    {
      name: 'with IPv6 by the first IPv6 address',
      world: {
        ciliumPolicies: [ciliumPolicy('six', { destinationCIDRs: everywhere })],
        pods: [pod('xwing', { labels: { org: 'alliance' }, ips: ['10.244.1.7', 'fd00:10:244:1::7'] })],
      },
      from: 'fd00:10:244:1::7',
      to: '2001:db8::1',
      expect: 'fc00::42',
    },
  ])
})

describe('selectors', () => {
  const selected = (selectors: unknown): Partial<World> => ({
    ciliumPolicies: [ciliumPolicy('p', { selectors: selectors as never })],
    namespaces: [{ name: 'default', labels: { team: 'rebels' } }],
  })
  const alliance = { matchLabels: { org: 'alliance' } }
  const team = { matchLabels: { team: 'rebels' } }
  check([
    { name: 'match nothing when the list is empty', world: selected([]), expect: 'masquerade' },
    {
      name: 'match everything when one is empty',
      world: selected([{ podSelector: {} }]),
      expect: '172.18.0.42',
    },
    {
      name: 'match when one of several does',
      world: selected([{ podSelector: { matchLabels: { org: 'empire' } } }, { podSelector: alliance }]),
      expect: '172.18.0.42',
    },
    {
      name: 'know the pod’s namespace by its special key',
      world: selected([{ podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'default' } } }]),
      expect: '172.18.0.42',
    },
    {
      name: 'do not take another namespace for the pod’s',
      world: selected([{ podSelector: { matchLabels: { 'io.kubernetes.pod.namespace': 'kube-system' } } }]),
      expect: 'masquerade',
    },
    {
      name: 'match by the namespace’s labels',
      world: selected([{ namespaceSelector: team }]),
      expect: '172.18.0.42',
    },
    {
      name: 'take an empty namespace selector for every namespace',
      world: selected([{ namespaceSelector: {} }]),
      expect: '172.18.0.42',
    },
    {
      name: 'must match pod and namespace together',
      world: selected([{ namespaceSelector: { matchLabels: { team: 'empire' } }, podSelector: alliance }]),
      expect: 'masquerade',
    },
    {
      name: 'match by the node that runs the pod',
      world: selected([
        { podSelector: alliance, nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'worker' } } },
      ]),
      expect: '172.18.0.42',
    },
    {
      name: 'pair each node selector with its own pod selector',
      world: selected([
        { podSelector: alliance, nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'worker2' } } },
        {
          podSelector: { matchLabels: { org: 'empire' } },
          nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'worker' } },
        },
      ]),
      expect: 'masquerade',
    },
    {
      name: 'select nothing with a node selector alone',
      world: selected([{ nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'worker' } } }]),
      expect: 'masquerade',
    },
    {
      name: 'count In, NotIn, Exists and DoesNotExist',
      world: selected([
        {
          podSelector: {
            matchExpressions: [
              { key: 'org', operator: 'In', values: ['empire', 'alliance'] },
              { key: 'class', operator: 'NotIn', values: ['tiefighter'] },
              { key: 'org', operator: 'Exists' },
              { key: 'quarantine', operator: 'DoesNotExist' },
            ],
          },
        },
      ]),
      expect: '172.18.0.42',
    },
    {
      name: 'do not find an absent label in any values',
      world: selected([
        { podSelector: { matchExpressions: [{ key: 'class', operator: 'In', values: ['xwing'] }] } },
      ]),
      expect: 'masquerade',
    },
  ])
})

describe('the egress IP', () => {
  const withNet0OfWorker3 = (net0: readonly NodeInterface[]): World['egressNodes'] =>
    world().egressNodes.map((each) =>
      each.metadata.name === 'worker3'
        ? egressNode('worker3', 2, [device('eth0', ['172.18.0.4']), ...net0])
        : each,
    )
  const from = (egressGateway: unknown, more: Partial<World> = {}): Partial<World> => ({
    ciliumPolicies: [
      ciliumPolicy('p', { egressGateway: egressGateway as never, destinationCIDRs: everywhere }),
    ],
    ...more,
  })
  check([
    {
      name: 'is the first of the interface, also by an alternative name',
      world: from({ nodeSelector: gatewayNodes, interface: 'outside' }),
      expect: '172.18.0.42',
    },
    {
      name: 'is the first of the default route’s interface when none is named',
      world: from({ nodeSelector: gatewayNodes }),
      expect: '172.18.0.4',
    },
    {
      name: 'is the given one',
      world: from({ nodeSelector: gatewayNodes, egressIP: '172.18.0.43' }),
      expect: '172.18.0.43',
    },
    {
      name: 'is the given one also where no node has it yet',
      world: from({ nodeSelector: gatewayNodes, egressIP: '172.18.0.99' }),
      expect: '172.18.0.99',
    },
    {
      name: 'is missing for the family that the given one is not of',
      world: from({ nodeSelector: gatewayNodes, egressIP: 'fc00::99' }),
      expect: 'DROP_NO_EGRESS_IP',
    },
    {
      name: 'is that of the next match where the first gateway lacks the interface',
      world: from({ nodeSelector: gatewayNodes, interface: 'net0' }, { egressNodes: withNet0OfWorker3([]) }),
      expect: '172.18.0.43',
    },
    {
      name: 'is that of the next match where the interface of the first gateway has only an IPv6 address',
      world: from(
        { nodeSelector: gatewayNodes, interface: 'net0' },
        { egressNodes: withNet0OfWorker3([device('net0', ['fc00::42'])]) },
      ),
      expect: '172.18.0.43',
    },
    {
      name: 'is missing where no match has the interface',
      world: from({ nodeSelector: gatewayNodes, interface: 'net9' }),
      expect: 'DROP_NO_EGRESS_IP',
    },
    {
      name: 'is missing while the gateway’s agent has not reported',
      world: from({ nodeSelector: gatewayNodes, interface: 'net0' }, { egressNodes: [] }),
      expect: 'DROP_NO_EGRESS_IP',
    },
    {
      name: 'is missing where no node matches',
      world: from({ nodeSelector: { matchLabels: { 'egress-gw': 'no' } }, interface: 'net0' }),
      expect: 'DROP_NO_GATEWAY',
    },
    {
      name: 'is not that of a node without an address of its own',
      world: from(
        { nodeSelector: { matchLabels: { fast: 'yes' } }, interface: 'net0' },
        {
          nodes: [...world().nodes, node('worker5', { labels: { fast: 'yes' } })],
          egressNodes: [...world().egressNodes, egressNode('worker5', 4, [device('net0', ['172.18.0.44'])])],
        },
      ),
      expect: 'DROP_NO_GATEWAY',
    },
  ])

  test('is that of the next match for a family of which the first gateway has none', () => {
    const of = world({
      ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs: everywhere })],
      egressNodes: world().egressNodes.map((each) =>
        each.metadata.name === 'worker3'
          ? egressNode('worker3', 2, [device('net0', ['172.18.0.42', 'fe80::1'])])
          : each,
      ),
      pods: [pod('xwing', { labels: { org: 'alliance' }, ips: ['10.244.1.7', 'fd00::7'] })],
    })
    assert.equal(outcome(of, outside), '172.18.0.42')
    assert.equal(outcome(of, '2001:db8::1', 'fd00::7'), 'fc00::43')
  })
})

describe('of several policies', () => {
  const by = (name: string, egressIP: string, more: object): ReturnType<typeof ciliumPolicy> =>
    ciliumPolicy(name, { egressGateway: { nodeSelector: gatewayNodes, egressIP }, ...more })
  check([
    {
      name: 'the most specific destination counts, however young its policy',
      world: {
        ciliumPolicies: [
          by('wide', '172.18.0.51', { destinationCIDRs: ['203.0.0.0/8'], born: 1 }),
          by('narrow', '172.18.0.52', { destinationCIDRs: ['203.0.113.0/24'], born: 2 }),
        ],
      },
      to: outside,
      expect: '172.18.0.52',
    },
    {
      name: 'the older counts for equal destinations',
      world: {
        ciliumPolicies: [
          by('young', '172.18.0.51', { destinationCIDRs: ['203.0.0.0/8'], born: 2 }),
          by('old', '172.18.0.52', { destinationCIDRs: ['203.0.0.0/8'], born: 1 }),
        ],
      },
      to: outside,
      expect: '172.18.0.52',
    },
    {
      name: 'the first by name counts for equal destinations and ages',
      world: {
        ciliumPolicies: [
          by('b', '172.18.0.51', { destinationCIDRs: ['203.0.0.0/8'] }),
          by('a', '172.18.0.52', { destinationCIDRs: ['203.0.0.0/8'] }),
        ],
      },
      to: outside,
      expect: '172.18.0.52',
    },
    {
      name: 'destinations are equal however they are written',
      world: {
        ciliumPolicies: [
          by('old', '172.18.0.52', { destinationCIDRs: ['203.1.2.3/8'], born: 1 }),
          by('young', '172.18.0.51', { destinationCIDRs: ['203.0.0.0/8'], born: 2 }),
        ],
      },
      to: outside,
      expect: '172.18.0.52',
    },
    {
      name: 'an exclusion that is more specific than another policy’s destination counts',
      world: {
        ciliumPolicies: [
          by('old', '172.18.0.51', { destinationCIDRs: ['203.0.0.0/8'], born: 1 }),
          by('young', '172.18.0.52', {
            destinationCIDRs: ['203.0.0.0/8'],
            excludedCIDRs: ['203.0.113.0/24'],
            born: 2,
          }),
        ],
      },
      to: outside,
      expect: 'masquerade',
    },
    {
      name: 'an exclusion outside its own policy’s destinations counts for nothing',
      world: {
        ciliumPolicies: [
          by('stray', '172.18.0.51', {
            destinationCIDRs: ['198.51.100.0/24'],
            excludedCIDRs: ['203.0.113.0/24'],
            born: 1,
          }),
          by('other', '172.18.0.52', { destinationCIDRs: ['203.0.0.0/8'], born: 2 }),
        ],
      },
      to: outside,
      expect: '172.18.0.52',
    },
    {
      name: 'both kinds take part in one order',
      world: {
        ciliumPolicies: [by('young', '172.18.0.51', { born: 2 })],
        isovalentPolicies: [isovalentPolicy('old', { born: 1 })],
      },
      expect: '172.18.0.42 172.18.0.43',
    },
  ])
})

describe('an exclusion', () => {
  const excluding = (destinationCIDRs: string[], excludedCIDRs: string[]): Partial<World> => ({
    ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs, excludedCIDRs })],
  })
  check([
    {
      name: 'takes its part out of a destination',
      world: excluding(everywhere, ['203.0.113.0/24']),
      to: outside,
      expect: 'masquerade',
    },
    {
      name: 'leaves the rest in it',
      world: excluding(everywhere, ['203.0.113.0/24']),
      to: '203.0.114.1',
      expect: '172.18.0.42',
    },
    {
      name: 'beats a destination that is equal to it',
      world: excluding(['203.0.113.0/24'], ['203.0.113.0/24']),
      to: outside,
      expect: 'masquerade',
    },
    {
      name: 'yields to a destination inside it',
      world: excluding(['203.0.0.0/8', '203.0.113.0/24'], ['203.0.0.0/16']),
      to: outside,
      expect: '172.18.0.42',
    },
  ])
})

describe('several gateways of one policy', () => {
  const pods = ['00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002']
  const entry = (name: string, device = 'net0') => ({
    nodeSelector: { matchLabels: { 'kubernetes.io/hostname': name } },
    interface: device,
  })
  const spread = (
    uid: string | undefined,
    ...egressGateways: ReturnType<typeof entry>[]
  ): Partial<World> => ({
    ciliumPolicies: [ciliumPolicy('p', { egressGateways })],
    pods: [pod('xwing', { uid: uid ?? 'none', labels: { org: 'alliance' } })],
  })
  /* FNV-1a-32 of the two UIDs is 3175583038 and 3158805419: even and odd. Sorted by node IP, worker4 (.3) is before worker3 (.4). */
  check([
    {
      name: 'are shared out by the pod’s UID: an even one has the first by node IP',
      world: spread(pods[0], entry('worker3'), entry('worker4')),
      expect: '172.18.0.43',
    },
    {
      name: 'are shared out by the pod’s UID: an odd one has the second',
      world: spread(pods[1], entry('worker3'), entry('worker4')),
      expect: '172.18.0.42',
    },
    {
      name: 'do not count where they match no node',
      world: spread(pods[1], entry('worker9'), entry('worker4')),
      expect: '172.18.0.43',
    },
    {
      name: 'drop when none matches a node',
      world: spread(pods[1], entry('worker8'), entry('worker9')),
      expect: 'DROP_NO_GATEWAY',
    },
    { name: 'count before egressGateway', world: spread(pods[1], entry('worker4')), expect: '172.18.0.43' },
    {
      name: 'may be two addresses of one node',
      world: spread(pods[1], entry('worker3', 'eth0'), entry('worker3')),
      expect: '172.18.0.42',
    },
  ])

  test('stand by for the pods of their own entry, not for those of another that begins with the same node', () => {
    const both = { nodeSelector: gatewayNodes, interface: 'net0' }
    const [even, odd] = pods.map((uid, index) =>
      pod(`x${index}`, { uid, ips: [`10.244.1.${index + 5}`], labels: { org: 'alliance' } }),
    )
    const tables = resolve(
      world({
        ciliumPolicies: [ciliumPolicy('p', { egressGateways: [both, entry('worker3')] })],
        pods: [even!, odd!],
      }),
    )
    assert.deepEqual(
      [...tables.groups.values()].map(({ preferred, standby }) => ({ preferred, standby })),
      [
        { preferred: ['172.18.0.42'], standby: ['172.18.0.43'] },
        { preferred: ['172.18.0.42'], standby: [] },
      ],
    )
  })
})

describe('a policy with egress groups', () => {
  const groups = (spec: Parameters<typeof isovalentPolicy>[1]): Partial<World> => ({
    isovalentPolicies: [isovalentPolicy('p', spec)],
  })
  const group = { nodeSelector: gatewayNodes, interface: 'net0' }
  const limited = [{ ...group, maxGatewayNodes: 1 }]
  const worker = (labels: Record<string, string>): Partial<World> => ({
    nodes: world().nodes.map((each) => (each.name === 'worker' ? { ...each, labels } : each)),
  })
  check([
    { name: 'spreads flows over all its gateways', world: groups({}), expect: '172.18.0.42 172.18.0.43' },
    {
      name: 'spreads them over the active ones',
      world: groups({ egressGroups: limited }),
      expect: '172.18.0.42',
    },
    {
      name: 'spreads them over all groups',
      world: groups({
        egressGroups: [{ ...limited[0]! }, { nodeSelector: gatewayNodes, egressIP: '172.18.0.77' }],
      }),
      expect: '172.18.0.42 172.18.0.77',
    },
    {
      name: 'stays in the zone with localOnly',
      world: groups({ azAffinity: 'localOnly' }),
      expect: '172.18.0.42',
    },
    {
      name: 'stays in the zone with localOnlyFirst',
      world: groups({ azAffinity: 'localOnlyFirst' }),
      expect: '172.18.0.42',
    },
    {
      name: 'fills up with others with localPriority',
      world: groups({ azAffinity: 'localPriority' }),
      expect: '172.18.0.42 172.18.0.43',
    },
    {
      name: 'takes local ones first with localPriority',
      world: {
        ...groups({ azAffinity: 'localPriority', egressGroups: limited }),
        ...worker({ 'topology.kubernetes.io/zone': 'west' }),
      },
      expect: '172.18.0.43',
    },
    {
      name: 'drops with localOnly where the zone has no gateway',
      world: {
        ...groups({ azAffinity: 'localOnly' }),
        ...worker({ 'topology.kubernetes.io/zone': 'north' }),
      },
      expect: 'DROP_NO_GATEWAY',
    },
    {
      name: 'drops with localOnly on a node without a zone',
      world: { ...groups({ azAffinity: 'localOnly' }), ...worker({}) },
      expect: 'DROP_NO_GATEWAY',
    },
    {
      name: 'leaves the zone with localOnlyFirst where it has no gateway',
      world: { ...groups({ azAffinity: 'localOnlyFirst' }), ...worker({}) },
      expect: '172.18.0.42 172.18.0.43',
    },
  ])
})

describe('a policy that cannot be honoured', () => {
  const broken = (spec: unknown): Partial<World> => ({
    ciliumPolicies: [{ ...ciliumPolicy('p'), spec: spec as never }],
  })
  const spec = ciliumPolicy('p').spec
  check([
    {
      name: 'drops what it selects when a gateway has interface and egress IP',
      world: broken({ ...spec, egressGateway: { nodeSelector: {}, interface: 'a', egressIP: '1.2.3.4' } }),
      expect: 'DROP_POLICY_INVALID',
    },
    {
      name: 'drops what it selects when there is no gateway',
      world: broken({ ...spec, egressGateway: {} }),
      expect: 'DROP_POLICY_INVALID',
    },
    {
      name: 'drops what it selects when the egress IP is none',
      world: broken({ ...spec, egressGateway: { nodeSelector: {}, egressIP: '1.2.3' } }),
      expect: 'DROP_POLICY_INVALID',
    },
    {
      name: 'drops everything when a destination cannot be read: it may be any',
      world: broken({ ...spec, destinationCIDRs: ['203.0.113.O/24'] }),
      to: '198.51.100.1',
      expect: 'DROP_POLICY_INVALID',
    },
    {
      name: 'excludes what it excludes all the same',
      world: broken({ ...spec, destinationCIDRs: ['203.0.113.O/24'], excludedCIDRs: ['198.51.100.0/24'] }),
      to: '198.51.100.1',
      expect: 'masquerade',
    },
    {
      name: 'drops what it selects when an exclusion cannot be read',
      world: broken({ ...spec, excludedCIDRs: ['all'] }),
      expect: 'DROP_POLICY_INVALID',
    },
    {
      name: 'drops what a readable selector selects beside one that is not',
      world: broken({ ...spec, selectors: [{}, ...spec.selectors] }),
      expect: 'DROP_POLICY_INVALID',
    },
    {
      name: 'selects nothing without destinations',
      world: broken({ ...spec, destinationCIDRs: [] }),
      expect: 'masquerade',
    },
    {
      name: 'selects nothing by a selector that cannot be understood',
      world: broken({
        ...spec,
        selectors: [{ podSelector: { matchExpressions: [{ key: 'org', operator: 'Near' }] } }],
      }),
      expect: 'masquerade',
    },
    {
      name: 'drops also where a zone affinity is unknown',
      world: { isovalentPolicies: [isovalentPolicy('p', { azAffinity: 'nearby' as never })] },
      expect: 'DROP_POLICY_INVALID',
    },
    {
      name: 'drops also where there are no egress groups',
      world: { isovalentPolicies: [isovalentPolicy('p', { egressGroups: [] })] },
      expect: 'DROP_POLICY_INVALID',
    },
  ])

  const oddities: readonly unknown[] = [
    undefined,
    null,
    7,
    'text',
    [],
    {},
    [null],
    { matchLabels: null },
    [7],
    [[]],
  ]
  test('never stops the others, whatever stands in its fields', () => {
    for (const field of ['selectors', 'destinationCIDRs', 'excludedCIDRs', 'egressGateway', 'egressGateways'])
      for (const odd of oddities) {
        const of = world({
          ciliumPolicies: [{ ...ciliumPolicy('odd'), spec: { ...spec, [field]: odd } as never }],
          isovalentPolicies: [isovalentPolicy('sound', { destinationCIDRs: ['203.0.113.0/24'] })],
        })
        assert.equal(outcome(of, outside), '172.18.0.42 172.18.0.43', `${field}: ${JSON.stringify(odd)}`)
      }
    for (const odd of oddities)
      assert.ok(resolve(world({ ciliumPolicies: [{ ...ciliumPolicy('odd'), spec: odd as never }] })))
  })
})

describe('the cluster', () => {
  const { cluster, nodes, self } = resolve(
    world({
      settings: {
        slots: 512,
        isChained: false,
        networkPolicies: 'enforce',
        stackCIDRs: [prefix('10.96.0.0/12')],
        nonMasqueradeCIDRs: [prefix('192.168.0.0/16')],
        ports: allPorts,
      },
    }),
  )
  test('is pods and nodes elsewhere, by the tunnel', () => {
    assert.deepEqual(cluster.get(prefix('10.244.2.0/24')), { kind: 'pods', tunnelAddress: '172.18.0.5' })
    assert.deepEqual(cluster.get(prefix('fc00::5/128')), { kind: 'node', tunnelAddress: '172.18.0.5' })
  })
  test('is this node itself', () => {
    assert.deepEqual(cluster.get(prefix('172.18.0.2/32')), { kind: 'host' })
    assert.deepEqual(cluster.get(prefix('fc00::2/128')), { kind: 'host' })
  })
  test('is every address of this node, whatever else claims it', () => {
    const ownAddresses = ['169.254.20.10', '172.18.0.100', '172.18.0.42', '172.18.255.255'].map(address)
    const { cluster: own } = resolve(world({ ciliumPolicies: [ciliumPolicy('outpost')], ownAddresses }))
    for (const each of ['169.254.20.10/32', '172.18.0.100/32', '172.18.255.255/32'])
      assert.deepEqual(own.get(prefix(each)), { kind: 'host' })
    assert.deepEqual(own.get(prefix('172.18.0.42/32')), { kind: 'host', carriesFlows: true })
  })
  test('is what other nodes have on links that they share or on lo, and nothing that may be another host’s', () => {
    const [first, ...others] = world().egressNodes
    assert.ok(first)
    const elsewhere = egressNode('worker2', 1, [
      device('eth0', ['172.18.0.5', '172.18.0.101', 'fe80::5'], { subnets: ['172.18.0.0/16'] }),
      device('eth1', ['192.168.50.5'], { subnets: ['192.168.50.0/24'] }),
      device('docker0', ['172.17.0.1'], { subnets: ['172.17.0.0/16'] }),
      device('anycast0', ['8.8.8.8', '169.254.20.10']),
      device('lo', ['203.0.113.7', '169.254.20.11']),
    ])
    const own = egressNode('worker', 0, [
      device('eth0', ['172.18.0.2'], { subnets: ['172.18.0.0/16', '169.254.0.0/16'] }),
      device('eth1', ['192.168.50.2'], { subnets: ['192.168.50.0/24'] }),
    ])
    const gateways = others.filter(({ metadata }) => metadata.name !== 'worker2')
    const { cluster: known } = resolve(
      world({ ciliumPolicies: [ciliumPolicy('outpost')], egressNodes: [own, elsewhere, ...gateways] }),
    )
    const tunnelled = { kind: 'node', tunnelAddress: '172.18.0.5' }
    assert.deepEqual(known.get(prefix('172.18.0.101/32')), tunnelled)
    assert.deepEqual(known.get(prefix('192.168.50.5/32')), tunnelled)
    assert.deepEqual(known.get(prefix('203.0.113.7/32')), tunnelled)
    assert.deepEqual(known.get(prefix('172.18.0.42/32')), {
      kind: 'node',
      tunnelAddress: '172.18.0.4',
      carriesFlows: true,
    })
    for (const each of ['172.17.0.1/32', '8.8.8.8/32', '169.254.20.10/32', '169.254.20.11/32', 'fe80::5/128'])
      assert.equal(known.get(prefix(each)), undefined)
  })
  test('has the MACs of all its interfaces, unless an agent reports none; the loopback device has none', () => {
    const mac = '02:00:00:00:00:01'
    const macs = (...more: readonly NodeInterface[]) => {
      const interfaces = [device('eth0', ['172.18.0.2'], { mac }), ...more]
      return resolve(world({ egressNodes: [egressNode('worker', 0, interfaces)] })).clusterHosts.macs
    }
    assert.deepEqual(macs(device('lo', ['203.0.113.7'])), new Set([mac]))
    assert.equal(macs(device('eth1', ['203.0.113.7'])), undefined)
  })
  test('has destinations beside it that leave as they are; in chained mode the other plugin judges them', () => {
    const routed = [prefix('192.168.0.0/16')]
    const kindOf = (isChained: boolean) => {
      const settings = { ...world().settings, isChained, nonMasqueradeCIDRs: routed }
      return resolve(world({ settings })).cluster.get(prefix('192.168.0.0/16'))
    }
    assert.deepEqual([kindOf(false), kindOf(true)], [{ kind: 'routed' }, { kind: 'stack' }])
  })
  test('is what the stack knows: Services, its own absent pods', () => {
    for (const each of ['10.96.0.0/12', '10.244.1.0/24'])
      assert.deepEqual(cluster.get(prefix(each)), { kind: 'stack' })
  })
  test('is sent to and taken from by nodes that have an address', () => {
    assert.deepEqual(nodes.get(address('172.18.0.4')), { name: 'worker3', slot: 2 })
    assert.deepEqual(self, {
      tunnelAddress: '172.18.0.2',
      masquerade4: '172.18.0.2',
      masquerade6: 'fc00::2',
      slot: 0,
    })
  })
  test('cannot be decided about by a node that it does not have', () => {
    assert.throws(() => resolve(world({ self: 'worker9' })), /the cluster has no Node worker9/)
    assert.throws(() => resolve(world({ nodes: [node('worker', {})] })), /worker has no InternalIP/)
  })
})

describe('ids', () => {
  const setOf = (of: World) => resolve(of).podsByIp.get(address('10.244.1.7'))?.policySet
  test('are the same for the same policies in another order, and after a restart', () => {
    const policies = [ciliumPolicy('a'), ciliumPolicy('b', { born: 5 })]
    assert.equal(
      setOf(world({ ciliumPolicies: policies })),
      setOf(world({ ciliumPolicies: policies.toReversed() })),
    )
    assert.equal(
      setOf(world({ ciliumPolicies: policies })),
      setOf(world({ ciliumPolicies: structuredClone(policies) })),
    )
  })
  test('change with the rules: no pod sees half of an edit', () => {
    const edited = ciliumPolicy('a', { destinationCIDRs: ['172.18.0.0/17', '172.18.128.0/17'] })
    assert.notEqual(
      setOf(world({ ciliumPolicies: [ciliumPolicy('a')] })),
      setOf(world({ ciliumPolicies: [edited] })),
    )
  })
  test('of policies stay when a policy is edited', () => {
    const ids = (spec: object) => [
      ...resolve(world({ ciliumPolicies: [ciliumPolicy('a', spec)] })).policies.keys(),
    ]
    assert.deepEqual(ids({}), ids({ destinationCIDRs: ['203.0.113.0/24'] }))
  })
  test('are shared by pods with equal rules', () => {
    const labels = { org: 'alliance' }
    const { rules } = resolve(
      world({
        ciliumPolicies: [seed],
        pods: [pod('xwing', { labels }), pod('ywing', { labels, ips: ['10.244.1.8'] })],
      }),
    )
    assert.equal(rules.size, 1)
  })
})
