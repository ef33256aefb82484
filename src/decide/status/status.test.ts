import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  ciliumPolicy,
  device,
  egressNode,
  isovalentPolicy,
  prefix,
  world,
} from '../../../test/support/world-builder.ts'
import type { World } from '../world.ts'
import { explainPolicies } from './status.ts'

/** A policy's conditions, each as `Type=Status Reason: message`. */
function conditions(parts: Partial<World>, name = 'p'): readonly string[] {
  const found = explainPolicies(world(parts)).find(({ policy }) => policy.name === name)
  return (found?.conditions ?? []).map(
    ({ type, status, reason, message }) => `${type}=${status} ${reason}: ${message}`,
  )
}

const gatewayNodes = { matchLabels: { 'egress-gw': 'true' } }
const gateway = (egressGateway: object) => ({
  ciliumPolicies: [ciliumPolicy('p', { egressGateway: egressGateway as never })],
})
const onOneLink = world().egressNodes.map(({ metadata, spec, status }) => {
  const interfaces =
    status?.interfaces?.map((each) => ({ ...each, subnets: ['172.18.0.0/16', 'fc00::/64'] })) ?? []
  return egressNode(metadata.name, spec?.slot, interfaces)
})
const withDead = (...names: readonly string[]) =>
  world().nodes.map((each) => (names.includes(each.name) ? { ...each, isReady: false } : each))
const refused = (policy: string, pods: number) => ({
  policy: `CiliumEgressGatewayPolicy ${policy}`,
  networkPolicies: ['default/grounded'],
  pods,
  example: 'default/luke',
})
const reports = (pods: number, refusals: readonly ReturnType<typeof refused>[]): World['egressNodes'] =>
  world().egressNodes.map((each, index) => ({
    ...each,
    status: {
      ...each.status,
      selected: index === 0 ? [{ policy: 'CiliumEgressGatewayPolicy p', pods, families: ['IPv4'] }] : [],
      refused: index === 0 ? [...refusals] : [],
    },
  }))
const refusal =
  'PodsRefused=True NetworkPolicy: NetworkPolicy default/grounded restricts the egress of 2 pods, for example default/luke. With cni.networkPolicies=refuse, Sallyport drops all traffic of such pods that an egress policy selects. To let out what the NetworkPolicy allows, set cni.networkPolicies=enforce. Otherwise exclude the pods from the NetworkPolicy or from this egress policy.'
const allRefusedCases = [
  {
    name: 'is not ready if NetworkPolicies make Sallyport refuse every pod that the policy selects',
    world: { ciliumPolicies: [ciliumPolicy('p')], egressNodes: reports(2, [refused('p', 2)]) },
    expect: [
      'Ready=False AllPodsRefused: Sallyport drops all traffic that the policy selects, because NetworkPolicies restrict all its pods and cni.networkPolicies is refuse. The condition PodsRefused says what to do.',
      refusal,
    ],
  },
  {
    name: 'is ready if one pod of three is not refused',
    world: { ciliumPolicies: [ciliumPolicy('p')], egressNodes: reports(3, [refused('p', 2)]) },
    expect: ['Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42', refusal],
  },
]
const exhausted = (of: string, isShort: boolean): World['egressAddresses'][number] => {
  const message = 'Pod a/b on node worker has most connections.'
  const told = {
    type: 'Exhausted',
    status: 'True' as const,
    reason: 'PodHoldsMost',
    message,
    lastTransitionTime: '',
  }
  return { metadata: { name: 'a' }, spec: { address: of, isShort }, status: { conditions: [told] } }
}
const withoutNet0 = world().egressNodes.map((each) =>
  each.metadata.name === 'worker3' ? egressNode('worker3', 2, [device('eth0', ['172.18.0.4'])]) : each,
)

test('the summary names the gateways that new connections use, with their egress IPs', () => {
  const summaryOf = (parts: Partial<World>) => explainPolicies(world(parts))[0]?.summary
  assert.deepEqual(summaryOf({ ciliumPolicies: [ciliumPolicy('p')] }), {
    gateways: 'worker3',
    egressIPs: '172.18.0.42, fc00::42',
    pods: 0,
  })
  assert.deepEqual(summaryOf({ isovalentPolicies: [isovalentPolicy('p')] }), {
    gateways: 'worker3, worker4',
    egressIPs: '172.18.0.42, fc00::42, 172.18.0.43, fc00::43',
    pods: 0,
  })
  const egressGateway = { nodeSelector: { matchLabels: { no: 'such' } } } as never
  assert.deepEqual(summaryOf({ ciliumPolicies: [ciliumPolicy('p', { egressGateway })] }), {
    gateways: '',
    egressIPs: '',
    pods: 0,
  })
})

/** Interfaces net0 of these nodes have an IPv6 default route that the kernel does not find. */
function withUnroutedIpv6(...names: readonly string[]) {
  return world().egressNodes.map((each) =>
    names.includes(each.metadata.name)
      ? {
          ...each,
          status: {
            ...each.status,
            interfaces: (each.status?.interfaces ?? []).map((of) =>
              of.name === 'net0' ? { ...of, isIPv6Unrouted: true } : of,
            ),
          },
        }
      : each,
  )
}

describe('a policy’s status', () => {
  const cases: readonly { name: string; world: Partial<World>; expect: readonly string[] }[] = [
    {
      name: 'names the gateway in use and its addresses',
      world: { ciliumPolicies: [ciliumPolicy('p')] },
      expect: ['Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42'],
    },
    {
      name: 'says that a policy without selectors selects nothing',
      world: { ciliumPolicies: [ciliumPolicy('p', { selectors: [] })] },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42',
        'SelectsNoPods=True NoSelectors: selectors is empty, so the policy selects no pod. Use podSelector {} to select all pods.',
      ],
    },
    {
      name: 'says that traffic of a family without an egress IP is dropped',
      world: {
        nodes: world().nodes.map((each) => ({
          ...each,
          podCIDRs: [prefix('10.244.0.0/16'), prefix('fd00::/64')],
        })),
        ciliumPolicies: [
          ciliumPolicy('p', {
            destinationCIDRs: ['0.0.0.0/0', '::/0'],
            egressGateway: { nodeSelector: gatewayNodes, egressIP: '172.18.0.42' },
          }),
        ],
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42',
        'DropsFamily=True NoIPv6EgressIP: destinationCIDRs has IPv6 prefixes, but no gateway has an IPv6 egress IP. IPv6 traffic to them is dropped. Add an IPv6 address to a gateway, or remove the prefixes.',
      ],
    },
    {
      name: 'names all gateways of groups',
      world: { isovalentPolicies: [isovalentPolicy('p')] },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42, worker4 with 172.18.0.43 and fc00::43',
      ],
    },
    {
      name: 'is ready while one of several gateways has an egress IP, and says which gateway has none',
      world: { isovalentPolicies: [isovalentPolicy('p')], egressNodes: withoutNet0 },
      expect: [
        'Ready=True GatewaysFound: worker4 with 172.18.0.43 and fc00::43',
        'GatewayIdle=True NoEgressIP: Node worker3 has no interface net0. Create the interface, or change egressGroups[0].interface. The other gateways carry the traffic.',
      ],
    },
    {
      name: 'does not name a gateway as in use if the pool has no address for it',
      world: {
        isovalentPolicies: [
          isovalentPolicy('p', {
            egressGroups: [{ nodeSelector: gatewayNodes }],
            egressCIDRs: ['172.18.9.9/32'],
          }),
        ],
      },
      expect: [
        'Ready=False EgressIPNotOnNode: Egress IP 172.18.9.9 is not on node worker3 yet. Check that the agent of node worker3 runs, and that the gateway’s interface exists. The agent then adds it.',
        'isovalent.com/IPAMRequestSatisfied=False PoolExhausted: egressCIDRs has no address left for worker4. Add addresses to egressCIDRs, or lower maxGatewayNodes.',
      ],
    },
    {
      name: 'names only the gateway in use if the pool has no address for another',
      world: {
        isovalentPolicies: [
          isovalentPolicy('p', {
            egressGroups: [{ nodeSelector: gatewayNodes }],
            egressCIDRs: ['172.18.9.9/32'],
            groupStatuses: [{ egressIPByGatewayIP: { '172.18.0.4': '172.18.9.9' } }],
          }),
        ],
        egressNodes: world().egressNodes.map((each) =>
          each.metadata.name === 'worker3'
            ? egressNode('worker3', 2, [
                device('eth0', ['172.18.0.4', '172.18.9.9'], { isDefaultRoute: true }),
              ])
            : each,
        ),
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.9.9',
        'isovalent.com/IPAMRequestSatisfied=False PoolExhausted: egressCIDRs has no address left for worker4. Add addresses to egressCIDRs, or lower maxGatewayNodes.',
      ],
    },
    {
      name: 'says why an IPv6 address is no egress IP',
      world: {
        nodes: world().nodes.map((each) => ({
          ...each,
          podCIDRs: [prefix('10.244.0.0/16'), prefix('fd00::/64')],
        })),
        isovalentPolicies: [isovalentPolicy('p', { destinationCIDRs: ['2001:db8::/32', '203.0.113.0/24'] })],
        egressNodes: withUnroutedIpv6('worker3', 'worker4'),
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42, worker4 with 172.18.0.43',
        'DropsFamily=True NoIPv6EgressIP: destinationCIDRs has IPv6 prefixes, but no gateway has an IPv6 egress IP. IPv6 traffic to them is dropped. The IPv6 default route of interface net0 of node worker3 has a higher metric than another one, so the kernel does not find it. Give both the same metric. The IPv6 default route of interface net0 of node worker4 has a higher metric than another one, so the kernel does not find it. Give both the same metric.',
      ],
    },
    {
      name: 'is not ready if the only addresses are IPv6 ones that no packet could leave with',
      world: {
        isovalentPolicies: [isovalentPolicy('p', { destinationCIDRs: ['2001:db8::/32'] })],
        egressNodes: withUnroutedIpv6('worker3', 'worker4').map((each) => ({
          ...each,
          status: {
            ...each.status,
            interfaces: (each.status?.interfaces ?? []).map((of) => ({
              ...of,
              addresses: of.addresses.filter((text) => text.includes(':')),
            })),
          },
        })),
      },
      expect: [
        'Ready=False NoEgressIP: The IPv6 default route of interface net0 of node worker3 has a higher metric than another one, so the kernel does not find it. Give both the same metric. The IPv6 default route of interface net0 of node worker4 has a higher metric than another one, so the kernel does not find it. Give both the same metric.',
      ],
    },
    {
      name: 'gives another address where a host outside the cluster has one, and names that host',
      world: {
        isovalentPolicies: [
          isovalentPolicy('p', {
            egressGroups: [{ nodeSelector: gatewayNodes, maxGatewayNodes: 1 }],
            egressCIDRs: ['172.18.9.8/30'],
            groupStatuses: [{ egressIPByGatewayIP: { '172.18.0.4': '172.18.9.9' } }],
          }),
        ],
        egressNodes: world().egressNodes.map((each) => ({
          ...each,
          status: {
            ...each.status,
            conflicts:
              each.metadata.name === 'worker3'
                ? [{ address: '172.18.9.9', mac: '02:00:5e:00:53:99', interface: 'eth0' }]
                : [],
          },
        })),
      },
      expect: [
        'Ready=False EgressIPNotOnNode: Egress IP 172.18.9.10 is not on node worker3 yet. Check that the agent of node worker3 runs, and that the gateway’s interface exists. The agent then adds it.',
        'isovalent.com/IPAMRequestSatisfied=True noreason: allocation requests satisfied',
        'AddressConflict=True AnotherHostAnswers: Another host, with MAC 02:00:5e:00:53:99, has address 172.18.9.9 of egressCIDRs on the network of interface eth0 of node worker3. Sallyport does not use this address. Remove it from that host, or from egressCIDRs.',
      ],
    },
    {
      name: 'says which gateway answers for an unhealthy one',
      world: {
        ...gateway({ nodeSelector: gatewayNodes, interface: 'net0' }),
        egressNodes: onOneLink,
        nodes: withDead('worker3'),
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42',
        'GatewayUnhealthy=True AnotherAnswers: Gateway worker3 is not healthy. Node worker4 answers for egress IP 172.18.0.42 and fc00::42. Check that Node worker3 is Ready, that its agent runs, and that other nodes reach it at the UDP port of the tunnel.',
      ],
    },
    {
      name: 'says that no gateway answers when all are unhealthy',
      world: {
        ...gateway({ nodeSelector: gatewayNodes, egressIP: '172.18.0.42' }),
        nodes: withDead('worker3', 'worker4'),
      },
      expect: [
        'Ready=False NoHealthyGateway: Gateway worker3 is not healthy. No other gateway can answer for egress IP 172.18.0.42. Open connections wait, and so do new ones. Check that Node worker3 is Ready, that its agent runs, and that other nodes reach it at the UDP port of the tunnel. Or label a second node on the same layer-2 network, which then takes the egress IP over.',
        'GatewayUnhealthy=True NobodyAnswers: Gateway worker3 is not healthy. No other gateway can answer for egress IP 172.18.0.42. Open connections wait, and so do new ones. Check that Node worker3 is Ready, that its agent runs, and that other nodes reach it at the UDP port of the tunnel. Or label a second node on the same layer-2 network, which then takes the egress IP over.',
      ],
    },
    {
      name: 'says that no other gateway answers for the own address of an unhealthy node',
      world: {
        ...gateway({ nodeSelector: gatewayNodes, interface: 'eth0' }),
        egressNodes: onOneLink,
        nodes: withDead('worker3'),
      },
      expect: [
        'Ready=False NoHealthyGateway: Gateway worker3 is not healthy. No other gateway can answer for egress IP 172.18.0.4 and fc00::4. Open connections wait. New connections use other gateways, with their egress IPs. Check that Node worker3 is Ready, that its agent runs, and that other nodes reach it at the UDP port of the tunnel.',
        'GatewayUnhealthy=True NobodyAnswers: Gateway worker3 is not healthy. No other gateway can answer for egress IP 172.18.0.4 and fc00::4. Open connections wait. New connections use other gateways, with their egress IPs. Check that Node worker3 is Ready, that its agent runs, and that other nodes reach it at the UDP port of the tunnel.',
      ],
    },
    {
      name: 'says nothing about an unhealthy node that is not the gateway of any pod',
      world: { ...gateway({ nodeSelector: gatewayNodes, interface: 'net0' }), nodes: withDead('worker4') },
      expect: ['Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42'],
    },
    {
      name: 'names destinations that an older policy excludes, and not those that it excludes itself',
      world: {
        ciliumPolicies: [
          ciliumPolicy('old', {
            born: 0,
            destinationCIDRs: ['0.0.0.0/0'],
            excludedCIDRs: ['172.18.0.0/16', '172.19.1.0/24', '172.20.0.0/16', '10.0.0.0/8'],
          }),
          ciliumPolicy('p', {
            born: 1,
            destinationCIDRs: ['172.18.0.0/16', '172.19.0.0/16', '172.20.0.0/14'],
            excludedCIDRs: ['172.20.0.0/16'],
          }),
        ],
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42',
        'Shadowed=True OlderPolicyWins: For pods that both policies select, the older CiliumEgressGatewayPolicy old excludes 172.18.0.0/16, so this traffic leaves as if no policy selected it. For pods that both policies select, the older CiliumEgressGatewayPolicy old excludes 172.19.1.0/24, so this traffic leaves as if no policy selected it.',
      ],
    },
    {
      name: 'says that a younger exclusion of an older destination does not count',
      world: {
        ciliumPolicies: [
          ciliumPolicy('old', { born: 0, destinationCIDRs: ['172.18.1.0/24'] }),
          ciliumPolicy('p', {
            born: 1,
            destinationCIDRs: ['172.18.0.0/16'],
            excludedCIDRs: ['172.18.1.0/24'],
          }),
        ],
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42',
        'Shadowed=True OlderPolicyWins: For pods that both policies select, traffic to 172.18.1.0/24 follows the older CiliumEgressGatewayPolicy old.',
      ],
    },
    {
      name: 'says that nodes lack ports of its egress IP, and which pod has most',
      world: { ciliumPolicies: [ciliumPolicy('p')], egressAddresses: [exhausted('172.18.0.42', true)] },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42',
        'PortsExhausted=True PodHoldsMost: Egress IP 172.18.0.42: Pod a/b on node worker has most connections.',
      ],
    },
    ...[exhausted('172.18.0.43', true), exhausted('172.18.0.42', false)].map((each) => ({
      name: `says nothing about ports if ${each.spec.isShort ? 'only the egress IP of a standby lacks' : 'no node lacks'} them`,
      world: { ciliumPolicies: [ciliumPolicy('p')], egressAddresses: [each] },
      expect: ['Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42'],
    })),
    {
      name: 'says that no node matches, and what to do',
      world: gateway({ nodeSelector: { matchLabels: { 'egress-gw': 'no' } }, interface: 'net0' }),
      expect: [
        'Ready=False NoGateway: No node matches egressGateway.nodeSelector. Sallyport drops the traffic that the policy selects. Label a node, or change the selector.',
      ],
    },
    {
      name: 'says which node lacks the interface, and that the next match serves',
      world: { ciliumPolicies: [ciliumPolicy('p')], egressNodes: withoutNet0 },
      expect: [
        'Ready=True GatewaysFound: worker4 with 172.18.0.43 and fc00::43',
        'GatewayIdle=True NoEgressIP: Node worker3 has no interface net0. Create the interface, or change egressGateway.interface. The other gateways carry the traffic.',
      ],
    },
    {
      name: 'says which interface is there, but has no address',
      world: {
        ciliumPolicies: [ciliumPolicy('p')],
        egressNodes: ['worker3', 'worker4'].map((name) => egressNode(name, 2, [device('net0', [])])),
      },
      expect: [
        'Ready=False NoEgressIP: Interface net0 of node worker3 has no address. Add an address, or change egressGateway.interface.',
      ],
    },
    {
      name: 'says which node lacks the interface, and is not ready if every match does',
      world: {
        ciliumPolicies: [ciliumPolicy('p')],
        egressNodes: ['worker3', 'worker4'].map((name) =>
          egressNode(name, 2, [device('eth0', ['172.18.0.4'])]),
        ),
      },
      expect: [
        'Ready=False NoEgressIP: Node worker3 has no interface net0. Create the interface, or change egressGateway.interface.',
      ],
    },
    {
      name: 'says which node has reported nothing',
      world: { ...gateway({ nodeSelector: gatewayNodes }), egressNodes: [] },
      expect: [
        'Ready=False NoEgressIP: Node worker3 has not reported its interfaces yet. Check that its agent runs.',
      ],
    },
    {
      name: 'says which node has no default route',
      world: {
        ...gateway({ nodeSelector: gatewayNodes }),
        egressNodes: ['worker3', 'worker4'].map((name) =>
          egressNode(name, 2, [device('eth0', ['172.18.0.4'])]),
        ),
      },
      expect: [
        'Ready=False NoEgressIP: Node worker3 has no address on an interface with a default route. Add a default route, or set egressGateway.interface.',
      ],
    },
    {
      name: 'says that no node answers for an egress IP of the gateways’ own network',
      world: {
        ...gateway({ nodeSelector: gatewayNodes, egressIP: '172.18.0.99' }),
        egressNodes: onOneLink,
      },
      expect: [
        'Ready=False EgressIPNotOnNode: Egress IP 172.18.0.99 is in 172.18.0.0/16, a network of the gateways, but none of them has the address: worker3. No node answers for it there, so replies do not reach the pods. Add it to an interface of one of them.',
      ],
    },
    {
      name: 'remarks that an egress IP of another network has to be routed to the gateway',
      world: {
        ...gateway({ nodeSelector: gatewayNodes, egressIP: '192.0.2.99' }),
        egressNodes: onOneLink,
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 192.0.2.99',
        'Routed=True OnNoInterface: Egress IP 192.0.2.99 is on no interface. Replies arrive if the network routes 192.0.2.99 to gateway worker3. Otherwise add it to an interface of the gateway.',
      ],
    },
    {
      name: 'names the node that has the egress IP, whichever matches first',
      world: {
        ...gateway({ nodeSelector: gatewayNodes, egressIP: '172.18.0.43' }),
        egressNodes: onOneLink,
      },
      expect: ['Ready=True GatewaysFound: worker4 with 172.18.0.43'],
    },
    {
      name: 'is right for the second of two policies with the same egress IP',
      world: {
        ciliumPolicies: [
          ciliumPolicy('first', {
            destinationCIDRs: ['192.0.2.0/24'],
            egressGateway: { nodeSelector: gatewayNodes, egressIP: '172.18.0.43' },
          }),
          ciliumPolicy('p', {
            born: 1,
            egressGateway: { nodeSelector: {}, egressIP: '172.18.0.43' },
          }),
        ],
        egressNodes: onOneLink,
      },
      expect: ['Ready=True GatewaysFound: worker4 with 172.18.0.43'],
    },
    {
      name: 'says that the egress IP is on a node that the selector does not match',
      world: {
        ...gateway({
          nodeSelector: { matchLabels: { 'kubernetes.io/hostname': 'worker3' } },
          egressIP: '172.18.0.43',
        }),
        egressNodes: onOneLink,
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.43',
        'Routed=True OnAnotherNode: Egress IP 172.18.0.43 is on node worker4, which egressGateway.nodeSelector does not match. Replies arrive there, and that node sends them on. Change the selector so that it matches the node.',
      ],
    },
    {
      name: 'is ready when the egress IP is on the gateway, however it is written',
      world: {
        ciliumPolicies: [
          ciliumPolicy('p', {
            destinationCIDRs: ['2001:db8::/32'],
            egressGateway: { nodeSelector: gatewayNodes, egressIP: 'FC00:0:0::42' },
          }),
        ],
      },
      expect: ['Ready=True GatewaysFound: worker3 with fc00::42'],
    },
    {
      name: 'lists all fields that cannot be read at once',
      world: {
        ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs: ['172.18.0.0/33'], excludedCIDRs: ['x'] })],
      },
      expect: [
        'Ready=False Invalid: failed to parse destination CIDR 172.18.0.0/33. Traffic that the policy selects is dropped. failed to parse excluded CIDR x. Traffic that the policy selects is dropped.',
      ],
    },
    {
      name: 'says which older policy has its destination',
      world: { ciliumPolicies: [ciliumPolicy('old'), ciliumPolicy('p', { born: 9 })] },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42',
        'Shadowed=True OlderPolicyWins: For pods that both policies select, traffic to 172.18.0.0/16 follows the older CiliumEgressGatewayPolicy old.',
      ],
    },
    {
      name: 'of the older policy does not mention the younger one',
      world: { ciliumPolicies: [ciliumPolicy('p'), ciliumPolicy('young', { born: 9 })] },
      expect: ['Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42'],
    },
    {
      name: 'names pods whose traffic is dropped because of a NetworkPolicy, from the reports of all nodes',
      world: {
        ciliumPolicies: [
          ciliumPolicy('p'),
          ciliumPolicy('q', { destinationCIDRs: ['203.0.113.0/24'], born: 9 }),
        ],
        egressNodes: world().egressNodes.map((each, index) => ({
          ...each,
          status: {
            ...each.status,
            refused: index === 0 ? [refused('p', 2), refused('q', 1)] : [refused('p', 1)],
          },
        })),
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42',
        'PodsRefused=True NetworkPolicy: NetworkPolicy default/grounded restricts the egress of 5 pods, for example default/luke. With cni.networkPolicies=refuse, Sallyport drops all traffic of such pods that an egress policy selects. To let out what the NetworkPolicy allows, set cni.networkPolicies=enforce. Otherwise exclude the pods from the NetworkPolicy or from this egress policy.',
      ],
    },
    ...allRefusedCases,
    {
      name: 'says which part of a NetworkPolicy allows nothing, because it cannot be evaluated',
      world: {
        ciliumPolicies: [ciliumPolicy('p')],
        egressNodes: world().egressNodes.map((each, index) => ({
          ...each,
          status: {
            ...each.status,
            refused:
              index === 0
                ? [
                    {
                      ...refused('p', 1),
                      problem: 'default/grounded: spec.egress[0].ports[0]: no port. Correct it',
                    },
                  ]
                : [],
          },
        })),
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42',
        'PodsRefused=True NetworkPolicyUnclear: NetworkPolicy default/grounded restricts the egress of pod default/luke. Sallyport cannot evaluate part of it, and that part allows nothing: default/grounded: spec.egress[0].ports[0]: no port. Correct it.',
      ],
    },
    {
      name: 'says which of several gateways has no node, and that the others serve',
      world: {
        ciliumPolicies: [
          ciliumPolicy('p', {
            egressGateways: [
              { nodeSelector: gatewayNodes, interface: 'net0' },
              { nodeSelector: { matchLabels: { a: 'b' } } },
            ],
          }),
        ],
      },
      expect: [
        'Ready=True GatewaysFound: worker3 with 172.18.0.42 and fc00::42',
        'GatewayIdle=True NoGateway: No node matches egressGateways[1].nodeSelector. Label a node, or change the selector. The other gateways carry the traffic.',
      ],
    },
  ]
  for (const { name, world: parts, expect } of cases)
    test(name, () => assert.deepEqual(conditions(parts), expect))

  const mistakes: readonly (readonly [field: string, message: string, spec: object])[] = [
    ['', "destinationCIDRs can't be empty", { destinationCIDRs: [] }],
    ['', "egressGateway can't be empty", { egressGateway: {} }],
    [
      'egressGateway: ',
      "gateway configuration can't specify both an interface and an egress IP",
      { egressGateway: { nodeSelector: {}, interface: 'a', egressIP: '::1' } },
    ],
    [
      'egressGateway: ',
      'failed to parse egress IP 1.2.3',
      { egressGateway: { nodeSelector: {}, egressIP: '1.2.3' } },
    ],
    [
      'egressGateway: ',
      'the egress IP is 224.0.0.9, but no node can have multicast addresses (224.0.0.0/4)',
      { egressGateway: { nodeSelector: {}, egressIP: '224.0.0.9' } },
    ],
    ['', 'failed to parse destination CIDR all', { destinationCIDRs: ['all'] }],
    ['', 'failed to parse excluded CIDR none', { excludedCIDRs: ['none'] }],
    [
      'selectors[0]: ',
      'cannot have both nil namespace selector and nil pod selector',
      { selectors: [{ nodeSelector: {} }] },
    ],
  ]
  for (const [field, message, spec] of mistakes)
    test(`reports the mistake "${message}" in the words that users know, and names the field`, () => {
      const [ready = ''] = conditions({ ciliumPolicies: [ciliumPolicy('p', spec)] })
      assert.ok(ready.includes(` Invalid: ${field}${message}. `), ready)
    })

  const pools = [
    ['224.0.0.0/28', 'multicast addresses (224.0.0.0/4)'],
    ['127.0.0.8/30', 'loopback addresses (127.0.0.0/8)'],
    ['0.0.0.0/0', 'addresses of 0.0.0.0/8'],
    ['::/64', 'the addresses :: and ::1'],
    ['ff02::/120', 'multicast addresses (ff00::/8)'],
  ] as const
  for (const [pool, unusable] of pools)
    test(`says that no node can have ${unusable}, which are in the pool ${pool}`, () => {
      const [ready = ''] = conditions({ isovalentPolicies: [isovalentPolicy('p', { egressCIDRs: [pool] })] })
      assert.ok(ready.includes(`Invalid: egressCIDRs has ${pool}, but no node can have ${unusable}. `), ready)
    })

  const strange = { toString: null }
  for (const spec of [
    { azAffinity: strange },
    { destinationCIDRs: [strange] },
    { selectors: [{ podSelector: { matchExpressions: [{ key: 'a', operator: strange }] } }] },
    { egressGroups: [{ nodeSelector: {}, egressIP: strange }] },
  ])
    test(`quotes the value that cannot be read: ${JSON.stringify(spec)}`, () =>
      assert.match(
        conditions({ isovalentPolicies: [isovalentPolicy('p', spec as never)] })[0] ?? '',
        /Invalid: .*\{"toString":null\}/,
      ))

  test('says which generation it is about', () => {
    const [status] = explainPolicies(world({ ciliumPolicies: [ciliumPolicy('p')] }))
    assert.equal(status?.conditions[0]?.observedGeneration, 1)
  })
})
