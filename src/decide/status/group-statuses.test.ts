import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  ciliumPolicy,
  device,
  egressNode,
  isovalentPolicy,
  world,
} from '../../../test/support/world-builder.ts'
import { resolve } from '../resolve.ts'
import type { World } from '../world.ts'
import { explainPolicies, type PolicyStatus } from './status.ts'

const explain = (parts: Partial<World>, name = 'p'): PolicyStatus => {
  const found = explainPolicies(world(parts)).find(({ policy }) => policy.name === name)
  assert.ok(found)
  return found
}
const spread = (spec: Parameters<typeof isovalentPolicy>[1] = {}): Partial<World> => ({
  isovalentPolicies: [isovalentPolicy('p', spec)],
})
const dead = (...names: string[]): Partial<World> => ({
  nodes: world().nodes.map((node) => ({ ...node, isReady: !names.includes(node.name) })),
})
const gateways = { nodeSelector: { matchLabels: { 'egress-gw': 'true' } } }
const [east, west] = ['172.18.0.4', '172.18.0.3']

describe('the status of a group', () => {
  const cases = [
    {
      name: 'names the gateways by node IP, in the order of their names',
      world: spread(),
      expect: { activeGatewayIPs: [east, west], healthyGatewayIPs: [east, west] },
    },
    {
      name: 'names the gateways of each zone, as the walkthrough shows',
      world: spread({ azAffinity: 'localOnlyFirst' }),
      expect: {
        activeGatewayIPs: [east, west],
        activeGatewayIPsByAZ: { east: [east], west: [west] },
        healthyGatewayIPs: [east, west],
      },
    },
    {
      name: 'shows which gateway serves a zone whose gateway is unhealthy',
      world: { ...spread({ azAffinity: 'localOnlyFirst' }), ...dead('worker3') },
      expect: {
        activeGatewayIPs: [west],
        activeGatewayIPsByAZ: { east: [west], west: [west] },
        healthyGatewayIPs: [west],
      },
    },
    {
      name: 'does not count a standby gateway as active',
      world: spread({ egressGroups: [{ ...gateways, interface: 'net0', maxGatewayNodes: 1 }] }),
      expect: { activeGatewayIPs: [east], healthyGatewayIPs: [east, west] },
    },
    {
      name: 'has another gateway active in place of an unhealthy one',
      world: {
        ...spread({ egressGroups: [{ ...gateways, interface: 'net0', maxGatewayNodes: 1 }] }),
        ...dead('worker3'),
      },
      expect: { activeGatewayIPs: [west], healthyGatewayIPs: [west] },
    },
    {
      name: 'has all gateways active if none is healthy, because all are tried',
      world: { ...spread(), ...dead('worker3', 'worker4') },
      expect: { activeGatewayIPs: [east, west], healthyGatewayIPs: [] },
    },
    {
      name: 'counts a gateway without an egress IP as neither active nor healthy',
      world: spread({ egressGroups: [{ ...gateways, interface: 'net9' }] }),
      expect: { activeGatewayIPs: [], healthyGatewayIPs: [] },
    },
    {
      name: 'has no active gateway if the policy is invalid',
      world: spread({ destinationCIDRs: [] }),
      expect: { activeGatewayIPs: [], healthyGatewayIPs: [east, west] },
    },
    {
      name: 'shows which address of the pool each active gateway got',
      world: spread({ egressGroups: [gateways], egressCIDRs: ['172.18.9.0/30', 'fd00::/120'] }),
      expect: {
        activeGatewayIPs: [east, west],
        healthyGatewayIPs: [east, west],
        egressIPByGatewayIP: { [east]: '172.18.9.1', [west]: '172.18.9.2' },
        egressIPv6ByGatewayIP: { [east]: 'fd00::1', [west]: 'fd00::2' },
      },
    },
    {
      name: 'counts a gateway for which the pool has no address as neither active nor healthy',
      world: spread({ egressGroups: [gateways], egressCIDRs: ['172.18.9.9/32'] }),
      expect: {
        activeGatewayIPs: [east],
        healthyGatewayIPs: [east],
        egressIPByGatewayIP: { [east]: '172.18.9.9' },
      },
    },
    {
      name: 'keeps the address of a gateway that is unhealthy for a moment',
      world: {
        ...spread({
          egressGroups: [gateways],
          egressCIDRs: ['172.18.9.0/29'],
          groupStatuses: [{ egressIPByGatewayIP: { [east]: '172.18.9.5' } }],
        }),
        ...dead('worker3'),
      },
      expect: {
        activeGatewayIPs: [west],
        healthyGatewayIPs: [west],
        egressIPByGatewayIP: { [west]: '172.18.9.1', [east]: '172.18.9.5' },
      },
    },
  ]
  for (const { name, world: parts, expect } of cases)
    test(name, () => assert.deepEqual(explain(parts).groupStatuses, [expect]))

  test('does not exist for a policy without groups', () =>
    assert.equal(explain({ ciliumPolicies: [ciliumPolicy('p')] }).groupStatuses, undefined))

  test('has addresses only in the older of two policies with the same pool', () => {
    const pooled = { egressGroups: [gateways], egressCIDRs: ['172.18.9.0/29'] }
    const parts = {
      isovalentPolicies: [isovalentPolicy('old', pooled), isovalentPolicy('p', { born: 9, ...pooled })],
    }
    assert.deepEqual(explain(parts).groupStatuses?.[0]?.activeGatewayIPs, [])
    assert.deepEqual(Object.keys(explain(parts, 'old').groupStatuses?.[0]?.egressIPByGatewayIP ?? {}), [
      east,
      west,
    ])
  })
})

describe('conditions of pools and zones', () => {
  const conditions = (parts: Partial<World>): readonly string[] =>
    explain(parts).conditions.map(
      ({ type, status, reason, message }) => `${type}=${status} ${reason}: ${message}`,
    )
  const pooled = { egressGroups: [gateways], egressCIDRs: ['172.18.9.0/29'] }
  const cases: readonly { name: string; world: Partial<World>; expect: readonly string[] }[] = [
    {
      name: 'a policy is not ready until the agents have added the addresses',
      world: spread(pooled),
      expect: [
        'Ready=False EgressIPNotOnNode: Egress IP 172.18.9.1 is not on node worker3 yet. Check that the agent of node worker3 runs, and that the gateway’s interface exists. The agent then adds it. Egress IP 172.18.9.2 is not on node worker4 yet. Check that the agent of node worker4 runs, and that the gateway’s interface exists. The agent then adds it.',
        'isovalent.com/IPAMRequestSatisfied=True noreason: allocation requests satisfied',
      ],
    },
    {
      name: 'a policy is ready when the agents have added the addresses',
      world: {
        ...spread(pooled),
        egressNodes: [
          egressNode('worker3', 2, [device('eth0', [east!], { added: ['172.18.9.1'] })]),
          egressNode('worker4', 3, [device('eth0', [west!], { added: ['172.18.9.2'] })]),
        ],
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.9.1, worker4 with 172.18.9.2',
        'isovalent.com/IPAMRequestSatisfied=True noreason: allocation requests satisfied',
      ],
    },
    {
      name: 'an exhausted pool, and the gateways that have its addresses',
      world: {
        isovalentPolicies: [
          isovalentPolicy('old', { ...pooled, selectors: [] }),
          isovalentPolicy('p', { born: 9, ...pooled, destinationCIDRs: ['203.0.113.0/24'] }),
        ],
      },
      expect: [
        'Ready=False NoEgressIP: No gateway has an address from egressCIDRs, so Sallyport drops the traffic that the policy selects. Check that egressCIDRs has a free address and that a gateway is healthy.',
        'isovalent.com/IPAMRequestSatisfied=False PoolExhausted: egressCIDRs has no address left for worker3, worker4. Add addresses to egressCIDRs, or lower maxGatewayNodes.',
        'EgressCIDRsOverlap=True OlderPolicyWins: egressCIDRs 172.18.9.0/29 overlaps with egressCIDRs of the older policy old. The older policy keeps the addresses that both name. Remove the overlap from one of them.',
      ],
    },
    {
      name: 'an egressIP in addition to a pool',
      world: spread({ ...pooled, egressGroups: [{ ...gateways, egressIP: '172.18.0.42' }] }),
      expect: [
        "Ready=False Invalid: egressGroups[0]: egressGroups can't specify an egress IP together with egressCIDRs. Traffic that the policy selects is dropped.",
        'isovalent.com/IPAMRequestSatisfied=True noreason: allocation requests satisfied',
      ],
    },
    {
      name: 'a zone that localOnly leaves with an unhealthy gateway, which nodes that reach it still use',
      world: { ...spread({ azAffinity: 'localOnly' }), ...dead('worker3') },
      expect: [
        'Ready=False NoGatewayInZone: No gateway in zone east is healthy, and azAffinity is localOnly: worker3. A node in that zone that reaches one of these gateways still uses it for new connections. Check that these Nodes are Ready, that their agents run, and that other nodes reach them at the UDP port of the tunnel. Or add a gateway to the zone, or change azAffinity.',
      ],
    },
    {
      name: 'a zone that has no gateway at all under localOnly',
      world: spread({
        azAffinity: 'localOnly',
        egressGroups: [
          { nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'worker4' } }, interface: 'net0' },
        ],
      }),
      expect: [
        'Ready=False NoGatewayInZone: No gateway is in zone east, and azAffinity is localOnly. Sallyport drops the traffic that this policy selects from pods in that zone. Add a gateway to the zone, or change azAffinity.',
      ],
    },
    {
      name: 'no healthy gateway',
      world: { ...spread(), ...dead('worker3', 'worker4') },
      expect: [
        'Ready=False NoHealthyGateway: No gateway is healthy: worker3, worker4. A node that reaches one of them still uses it for new connections. Check that these Nodes are Ready, that their agents run, and that other nodes reach them at the UDP port of the tunnel.',
      ],
    },
    {
      name: 'one healthy gateway of two is enough',
      world: { ...spread(), ...dead('worker3') },
      expect: ['Ready=True GatewaysFound: worker4 with 172.18.0.43 and fc00::43'],
    },
  ]
  for (const { name, world: parts, expect } of cases)
    test(name, () => assert.deepEqual(conditions(parts), expect))
})

describe('a node reads the addresses that the operator gave', () => {
  const parts = (groupStatuses: NonNullable<Parameters<typeof isovalentPolicy>[1]>['groupStatuses']) =>
    resolve(world(spread({ egressGroups: [{ ...gateways, interface: 'net0' }], egressCIDRs: ['172.18.9.0/29'], ...(groupStatuses ? { groupStatuses } : {}) }))) // biome-ignore format: one policy
  const rule = (tables: ReturnType<typeof resolve>) => [...tables.rules.values()].flatMap((each) => [...each.values()])[0] // biome-ignore format: one rule

  test('without an address new flows are dropped', () => {
    const found = rule(parts(undefined))
    assert.equal(found?.action === 'drop' && found.reason, 'DROP_NO_EGRESS_IP')
  })

  test('an address is open to new flows, on its node and interface', () => {
    const tables = parts([{ egressIPByGatewayIP: { [east!]: '172.18.9.1', [west!]: '172.18.9.2' } }])
    assert.equal(rule(tables)?.action, 'egress')
    assert.deepEqual(
      [...tables.poolAddresses],
      [
        ['172.18.9.1', { node: 'worker3', interface: 'net0' }],
        ['172.18.9.2', { node: 'worker4', interface: 'net0' }],
      ],
    )
    assert.deepEqual(tables.egressIps.get('172.18.9.1' as never)?.order, [east])
  })

  test('a text that is not an address of the pool is ignored', () => {
    const tables = parts([{ egressIPByGatewayIP: { [east!]: '172.18.0.99', [west!]: 'all' } }])
    assert.equal(tables.poolAddresses.size, 0)
    assert.equal(rule(tables)?.action, 'drop')
  })
})

test('a pool gives neither an address of a router nor one that no host can have, even if it was given before', () => {
  const links = [
    device('eth0', ['172.18.0.4'], {
      isDefaultRoute: true,
      subnets: ['172.18.0.0/29'],
      routers: ['172.18.0.1'],
    }),
    device('net0', ['192.0.2.9'], { subnets: ['172.18.0.8/30'] }),
  ]
  const of = explain({
    ...spread({
      egressGroups: [gateways],
      egressCIDRs: ['172.18.0.0/28'],
      groupStatuses: [{ egressIPByGatewayIP: { [east]: '172.18.0.1', [west]: '172.18.0.6' } }],
    }),
    egressNodes: world().egressNodes.map((each) =>
      each.metadata.name === 'worker3' ? egressNode('worker3', 2, links) : each,
    ),
  })
  assert.deepEqual(of.groupStatuses?.[0]?.egressIPByGatewayIP, {
    [east]: '172.18.0.9',
    [west]: '172.18.0.6',
  })
})
