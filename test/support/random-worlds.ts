import fc from 'fast-check'
import type { LabelSelector } from '../../src/api/label-selector.ts'
import type { World } from '../../src/decide/world.ts'
import { ciliumPolicy, device, egressNode, isovalentPolicy, node, pod, world } from './world-builder.ts'

/* Everything comes from few values, so that policies meet: the same labels, nested and equal destinations, shared nodes. */

const nodeNames = ['worker', 'node-a', 'node-b', 'node-c'] as const
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const labels = fc.dictionary(fc.constantFrom('org', 'tier'), fc.constantFrom('x', 'y'))
const requirement = fc.oneof(
  fc.record({
    key: fc.constantFrom('org', 'tier'),
    operator: fc.constantFrom('In' as const, 'NotIn' as const),
    values: fc.constantFrom<string[]>(['x'], ['y'], ['x', 'y']),
  }),
  fc.record({
    key: fc.constantFrom('org', 'tier'),
    operator: fc.constantFrom('Exists' as const, 'DoesNotExist' as const),
  }),
)
const selector: fc.Arbitrary<LabelSelector> = fc.oneof(
  fc.constant({}),
  labels.map((matchLabels) => ({ matchLabels })),
  fc.array(requirement, { maxLength: 2 }).map((matchExpressions) => ({ matchExpressions })),
)
const podSelection = fc
  .tuple(selector, maybe(selector), maybe(selector))
  .map(([podSelector, namespaceSelector, nodeSelector]) => ({
    podSelector,
    ...(namespaceSelector === undefined ? {} : { namespaceSelector }),
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
  }))

const ipv4Cidrs = [
  '0.0.0.0/0',
  '203.0.0.0/8',
  '203.0.112.0/20',
  '203.0.113.0/24',
  '203.0.113.9/32',
  '198.51.100.0/24',
]
const ipv6Cidrs = ['::/0', '2001:db8::/32', '2001:db8:1::/48', '2001:db8:1::9/128']
const cidr = fc.constantFrom(...ipv4Cidrs, ...ipv6Cidrs)
/** Of both families: inside several of the prefixes, and in none. */
export const destinations = [
  '203.0.113.9',
  '203.0.113.1',
  '203.0.112.1',
  '203.9.9.9',
  '198.51.100.1',
  '192.0.2.1',
]
export const destinations6 = ['2001:db8:1::9', '2001:db8:1::1', '2001:db8:2::1', '2a00::1']

const exit = fc
  .tuple(
    selector,
    fc.oneof(
      fc.constant({}),
      fc.constantFrom('net0', 'net1').map((name) => ({ interface: name })),
      fc.constantFrom('172.18.0.77', 'fc00::77').map((egressIP) => ({ egressIP })),
    ),
  )
  .map(([nodeSelector, choice]) => ({ nodeSelector, ...choice }))
const common = {
  born: fc.integer({ min: 0, max: 3 }),
  selectors: fc.array(podSelection, { maxLength: 2 }),
  destinationCIDRs: fc.array(cidr, { minLength: 1, maxLength: 3 }),
  excludedCIDRs: fc.array(cidr, { maxLength: 2 }),
}
const ciliumSpec = fc.record({
  ...common,
  egressGateway: exit,
  egressGateways: fc.array(exit, { maxLength: 3 }),
})
const group = fc
  .tuple(exit, fc.integer({ min: 0, max: 2 }))
  .map(([one, maxGatewayNodes]) => ({ ...one, maxGatewayNodes }))
const isovalentSpec = fc.record({
  ...common,
  egressGroups: fc.array(group, { minLength: 1, maxLength: 2 }),
  azAffinity: fc.constantFrom('disabled', 'localOnly', 'localOnlyFirst', 'localPriority'),
  /** Which nodes of which group were given an address of the policy's pool, if it has one. */
  given: maybe(fc.tuple(fc.subarray([0, 1, 2, 3]), fc.subarray([0, 1, 2, 3]))),
})

type IsovalentParts = typeof isovalentSpec extends fc.Arbitrary<infer T> ? T : never

const nodeIp = (index: number): string => `172.18.0.${20 - index}`

/** A pool of its own for each policy, and of each pool an address for each node of each group. */
function withPool({ given, egressGroups, ...spec }: IsovalentParts, which: number) {
  if (given === undefined) return isovalentPolicy(`i${which}`, { ...spec, egressGroups } as object)
  const granted = (of: number, address: (host: number) => string): Record<string, string> =>
    Object.fromEntries((given[of] ?? []).map((index) => [nodeIp(index), address(of * 8 + index + 1)]))
  return isovalentPolicy(`i${which}`, {
    ...spec,
    egressCIDRs: [`192.0.2.${which * 32}/27`, `fc01:${which + 1}::/64`],
    egressGroups: egressGroups.map((each) => ({ ...each, egressIP: '' })),
    groupStatuses: egressGroups.map((_, of) => ({
      activeGatewayIPs: [],
      healthyGatewayIPs: [],
      egressIPByGatewayIP: granted(of, (host) => `192.0.2.${which * 32 + host}`),
      egressIPv6ByGatewayIP: of === 0 ? {} : granted(of, (host) => `fc01:${which + 1}::${host}`),
    })),
  } as object)
}

const zone = maybe(fc.constantFrom('east', 'west'))
const nodeParts = fc.record({
  labels,
  zone,
  hasAddress: fc.boolean(),
  net0: fc.subarray(['fe80::1', '10', '6']),
  isReported: fc.boolean(),
  isReady: fc.boolean(),
  isCordoned: fc.boolean(),
  life: fc.constantFrom('silent', 'heard', 'unknown'),
  heard: fc.subarray([...nodeNames]),
  unreachable: fc.subarray([...nodeNames]),
})

/** Policies of both kinds, nodes that are well and unwell, and pods on the node `worker`. */
export const anyWorld: fc.Arbitrary<World> = fc
  .record({
    nodes: fc.tuple(nodeParts, nodeParts, nodeParts, nodeParts),
    cilium: fc.array(ciliumSpec, { maxLength: 3 }),
    isovalent: fc.array(isovalentSpec, { maxLength: 2 }),
    podLabels: fc.array(labels, { minLength: 1, maxLength: 3 }),
    namespaceLabels: labels,
  })
  .map(({ nodes, cilium, isovalent, podLabels, namespaceLabels }) =>
    world({
      nodes: nodes.map((parts, index) =>
        node(nodeNames[index]!, {
          labels: {
            ...parts.labels,
            ...(parts.zone === undefined ? {} : { 'topology.kubernetes.io/zone': parts.zone }),
          },
          ips: index === 0 || parts.hasAddress ? [nodeIp(index)] : [],
          isReady: parts.isReady,
          isCordoned: parts.isCordoned,
        }),
      ),
      egressNodes: nodes.flatMap(({ isReported, net0, heard, unreachable }, index) => {
        const addresses = net0.map((each) =>
          each === '10' ? `172.18.1.${index}` : each === '6' ? `fc00::1:${index}` : each,
        )
        const interfaces = [
          device('eth0', [nodeIp(index)], { isDefaultRoute: true }),
          device('net0', addresses),
        ]
        const report = egressNode(nodeNames[index]!, index, interfaces)
        return isReported ? [{ ...report, status: { ...report.status, heard, unreachable } }] : []
      }),
      unreachableNodes: new Set(nodeNames.filter((_, index) => nodes[index]!.life === 'silent')),
      reachableNodes: new Set(nodeNames.filter((_, index) => nodes[index]!.life === 'heard')),
      namespaces: [{ name: 'default', labels: namespaceLabels }],
      pods: podLabels.map((of, index) =>
        pod(`p${index}`, { labels: of, ips: [`10.244.1.${index}`, `fd00::${index}`] }),
      ),
      ciliumPolicies: cilium.map((spec, index) => ciliumPolicy(`c${index}`, spec)),
      isovalentPolicies: isovalent.map(withPool),
    }),
  )
