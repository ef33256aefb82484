import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { naiveOutcome } from '../../test/support/naive-resolver.ts'
import { randomRuns } from '../../test/support/random-runs.ts'
import {
  ciliumPolicy,
  device,
  egressNode,
  isovalentPolicy,
  node,
  pod,
  world,
} from '../../test/support/world-builder.ts'
import type { LabelSelector } from '../api/label-selector.ts'
import { parseAddress } from '../net/address.ts'
import { flowVerdict } from './flow-verdicts.ts'
import { resolve } from './resolve.ts'
import type { Tables } from './tables.ts'
import type { World, WorldPod } from './world.ts'

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
const destinations = ['203.0.113.9', '203.0.113.1', '203.0.112.1', '203.9.9.9', '198.51.100.1', '192.0.2.1']
const destinations6 = ['2001:db8:1::9', '2001:db8:1::1', '2001:db8:2::1', '2a00::1']

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

const anyWorld: fc.Arbitrary<World> = fc
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

function flows(of: WorldPod): readonly (readonly [source: string, destination: string])[] {
  const [ipv4, ipv6] = of.ips
  return [
    ...destinations.map((each) => [ipv4!, each] as const),
    ...destinations6.map((each) => [ipv6!, each] as const),
  ]
}

function outcome(tables: Tables, source: string, destination: string): string {
  const answer = flowVerdict(tables, parseAddress(source)!, parseAddress(destination)!)
  if (answer.action === 'egress') return [...answer.egressIps].sort().join(' ')
  return answer.action === 'drop' ? answer.reason : answer.action
}

test('every pod’s flow to every destination has the answer that a naive reading of the rules gives', () => {
  const seen = new Map<string, number>()
  fc.assert(
    fc.property(anyWorld, (any) => {
      const tables = resolve(any)
      for (const each of any.pods)
        for (const [source, destination] of flows(each)) {
          const expected = naiveOutcome(any, each, destination)
          assert.equal(outcome(tables, source, destination), expected)
          const kind = /^DROP|^masq/.test(expected) ? expected : `${expected.split(' ').length} egress IPs`
          seen.set(kind, (seen.get(kind) ?? 0) + 1)
        }
    }),
    { numRuns: randomRuns(1500) },
  )
  for (const kind of ['masquerade', 'DROP_NO_GATEWAY', 'DROP_NO_EGRESS_IP', '1 egress IPs', '2 egress IPs'])
    assert.ok(
      (seen.get(kind) ?? 0) > 10,
      `the worlds are too tame: ${kind} came up ${seen.get(kind) ?? 0} times`,
    )
})

test('the order in which objects were seen decides nothing', () => {
  const shuffled = anyWorld.chain((any) =>
    fc
      .tuple(
        ...([any.nodes, any.pods, any.ciliumPolicies, any.isovalentPolicies, any.egressNodes] as const).map(
          (list) => fc.shuffledSubarray([...list] as unknown[], { minLength: list.length }),
        ),
      )
      .map(
        ([nodes, pods, ciliumPolicies, isovalentPolicies, egressNodes]) =>
          [any, { ...any, nodes, pods, ciliumPolicies, isovalentPolicies, egressNodes } as World] as const,
      ),
  )
  fc.assert(
    fc.property(shuffled, ([one, other]) =>
      assert.deepEqual(canonical(resolve(other)), canonical(resolve(one))),
    ),
    { numRuns: randomRuns(300) },
  )
})

/** Maps compare by content; what has an order that means something keeps it. */
function canonical(tables: Tables): unknown {
  const pools = new Map(tables.pools.map((pool) => [`${pool.address} ${pool.purpose}`, pool.blocks]))
  return { ...tables, pools }
}

test('nothing that a table points to is missing', () => {
  fc.assert(
    fc.property(anyWorld, (any) => {
      const tables = resolve(any)
      for (const { policySet } of tables.podsByIp.values())
        assert.ok(policySet === 0n || tables.rules.has(policySet))
      for (const rule of [...tables.rules.values()].flatMap((rules) => [...rules.values()])) {
        assert.ok(tables.policies.has(rule.policy))
        if (rule.action === 'egress') assert.ok((tables.groups.get(rule.group)?.preferred.length ?? 0) > 0)
      }
      for (const egressIp of [...tables.groups.values()].flatMap(({ preferred, standby }) => [
        ...preferred,
        ...standby,
      ])) {
        const order = tables.egressIps.get(egressIp)?.order ?? []
        assert.ok(
          order.length > 0 && order.every((each) => tables.nodes.has(each)),
          `${egressIp} has a holder that is a node`,
        )
      }
    }),
    { numRuns: randomRuns(300) },
  )
})
