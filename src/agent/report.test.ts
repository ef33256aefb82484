import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { device, other, self, tablesWith } from '../../test/support/failover-under-test.ts'
import {
  enterPrivateNamespaces,
  privateNamespacesRefused as skip,
} from '../../test/support/private-namespaces.ts'
import { address, prefix } from '../../test/support/world-builder.ts'
import { Netlink } from '../linux/netlink.ts'
import type { Prefix } from '../net/prefix.ts'
import { selectLinkDevice } from './node/native-devices.ts'
import { listNodeDevices, type NodeDevice } from './node/node-network.ts'
import {
  addressesWithoutRule,
  describeInterfaces,
  describeLingering,
  describeNode,
  isReportedAlike,
} from './report.ts'

test('a node reports why an interface carries no traffic', () => {
  const problemOf = (changes: Parameters<typeof device>[0]) =>
    describeInterfaces([device(changes)], new Set())[0]?.problem
  assert.equal(problemOf({}), undefined)
  assert.equal(problemOf({ isUp: false, hasCarrier: false }), 'Down')
  assert.equal(problemOf({ hasCarrier: false }), 'NoCarrier')
  assert.equal(problemOf({ mac: undefined, kind: 'wireguard' }), 'NoEthernetHeader')
})

test('a node reports that an interface without addresses exists, but not the host sides of pods', () => {
  const bare = { addresses: [], subnets: [] }
  const devices = [
    device(),
    device({ ...bare, index: 3, name: 'net0', alternativeNames: ['outside'], kind: 'dummy' }),
    device({ ...bare, index: 4, name: 'veth1', kind: 'veth' }),
    device({ ...bare, index: 1, name: 'lo', isLoopback: true }),
  ]
  assert.deepEqual(describeInterfaces(devices, new Set()).slice(1), [
    { name: 'net0', alternativeNames: ['outside'], addresses: [], isDefaultRoute: false },
  ])
})

test('a device that only holds addresses need not be up', () => {
  for (const kind of ['dummy', 'ifb'])
    assert.equal(
      describeInterfaces([device({ kind, isUp: false, hasCarrier: false })], new Set())[0]?.problem,
      undefined,
    )
})

test('a node reports lingering egress IPs that it owns, and others that its pods have connections with', () => {
  const [used, own, foreign, theirs] = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'].map(address) as [
    never,
    never,
    never,
    never,
  ]
  const tables = tablesWith({ [used]: [self] })
  const lingering = new Map([
    [used, { blockOwner: [], order: [self] }],
    [own, { blockOwner: [], order: [self, other] }],
    [foreign, { blockOwner: [], order: [other] }],
    [theirs, { blockOwner: [], order: [other, self] }],
  ])
  const flows = new Map([
    [used, 7],
    [foreign, 1234],
  ])
  assert.deepEqual(describeLingering({ tables, lingering }, flows), [
    { address: own, connections: 0 },
    { address: foreign, connections: 1200 },
  ])
  const before = new Map([[used, { blockOwner: [], order: [self] }]])
  const decided = { tables, lingering, applied: { unrouted: undefined, stackLoss: undefined } }
  const unrouted = [{ policy: 'CiliumEgressGatewayPolicy p', all: true, destinations: ['192.0.2.0/24'] }]
  assert.equal(isReportedAlike(decided, { ...decided, lingering: before }), false)
  assert.equal(isReportedAlike(decided, { ...decided, applied: { ...decided.applied, unrouted } }), false)
  assert.equal(isReportedAlike(decided, { ...decided }), true)
})

test('a node reports an interface whose IPv6 default route has a higher metric than another one', () => {
  const devices = [
    device({ defaultMetrics: { 4: 200, 6: 100 } }),
    device({ index: 3, name: 'eth1', defaultMetrics: { 4: 100, 6: 200 } }),
    device({ index: 4, name: 'eth2', defaultMetrics: { 4: 300, 6: 100 } }),
    device({ index: 5, name: 'eth3', defaultMetrics: {} }),
  ]
  const found = describeInterfaces(devices, new Set()).map(({ name, isIPv6Unrouted }) => [
    name,
    isIPv6Unrouted,
  ])
  assert.deepEqual(found, [
    ['eth0', undefined],
    ['eth1', true],
    ['eth2', undefined],
    ['eth3', undefined],
  ])
})

test('with forwarding by the stack, a node reports addresses whose packets leave by another interface for want of a routing rule', () => {
  const [main, second, ruled] = ['172.18.0.4', '192.0.2.42', '192.0.2.43'].map(address)
  assert.ok(main && second && ruled)
  const devices = [
    device({ addresses: [main], defaultMetrics: { 4: 100 } }),
    device({ index: 3, name: 'eth1', addresses: [second, ruled], defaultMetrics: { 4: 200 } }),
  ]
  const rules = {
    chains: [],
    legacyTables: [],
    ipsec: [],
    routingRules: 1,
    routingSources: [prefix('192.0.2.43/32')],
  }
  const unruled = addressesWithoutRule(devices, rules, { forwardsByStack: true })
  assert.deepEqual(
    describeInterfaces(devices, new Set(), { unruled }).map(({ name, withoutRule }) => [name, withoutRule]),
    [
      ['eth0', undefined],
      ['eth1', [second]],
    ],
  )
  assert.equal(addressesWithoutRule(devices, rules, { forwardsByStack: false }).size, 0)
})

test('a node with egressPath=auto reports the native device by which it takes packets without a tunnel', () => {
  const own = address('172.18.0.4')
  const eth0 = device({ addresses: [own] })
  const devices = [eth0, device({ index: 3, name: 'eth1', addresses: [address('192.0.2.4')] })]
  const settings = { usesLinks: true, devices: ['eth+'] }
  const node = { internalIPs: [own] }
  const rules = { chains: [], ipsec: [], routingRules: 0, routingSources: [], legacyTables: [] }
  assert.deepEqual(
    describeInterfaces(devices, new Set(), { link: selectLinkDevice(devices, settings, node, rules) }).map(
      ({ receivesByLink }) => receivesByLink,
    ),
    [true, undefined],
  )
  for (const [changes, ipsec] of [
    [{ usesLinks: false }, []],
    [{ devices: ['net+'] }, []],
    [{}, [prefix('10.0.0.0/8')]],
  ] as const)
    assert.equal(selectLinkDevice(devices, { ...settings, ...changes }, node, { ...rules, ipsec }), undefined)
})

test('a node reports addresses for which their interface has no default route, and where packets still leave by it', () => {
  const addresses = ['192.0.2.42', '192.0.2.43', '2001:db8::42'].map(address)
  const reaches = ['192.0.2.0/24', '2001:db8::/64'].map(prefix)
  const eth1 = device({ addresses, reaches, defaultMetrics: {} })
  const lackOf = (changes: Partial<NodeDevice>, routingSources: readonly Prefix[] = []) =>
    describeInterfaces([{ ...eth1, ...changes }], new Set(), { routingSources })[0]?.withoutDefaultRoute
  assert.deepEqual(lackOf({}), { addresses, destinations: reaches })
  assert.deepEqual(lackOf({ defaultMetrics: { 6: 100 } }), {
    addresses: addresses.slice(0, 2),
    destinations: reaches.slice(0, 1),
  })
  assert.deepEqual(lackOf({}, [prefix('192.0.2.42/32'), prefix('2001:db8::/64')]), {
    addresses: addresses.slice(1, 2),
    destinations: reaches.slice(0, 1),
  })
  assert.equal(lackOf({ defaultMetrics: { 4: 100, 6: 100 } }), undefined)
  assert.equal(lackOf({ kind: 'dummy' }), undefined)
  const many = Array.from({ length: 65 }, (_, index) => prefix(`10.0.${index}.0/24`))
  assert.equal(lackOf({ reaches: many }), undefined)
})

test('a tun device with an address is reported as one that egress IPs cannot use', { skip }, () => {
  enterPrivateNamespaces()
  for (const words of ['tuntap add tun0 mode tun', 'link set tun0 up', 'addr add 198.51.100.1/24 dev tun0'])
    execFileSync('ip', words.split(' '))
  using netlink = new Netlink()
  const [tun] = describeInterfaces(listNodeDevices(netlink), new Set())
  assert.deepEqual([tun?.name, tun?.problem], ['tun0', 'NoEthernetHeader'])
})

test('addresses of the loopback device that other hosts can use are reported, without a link and without a MAC', {
  skip,
}, () => {
  enterPrivateNamespaces()
  using netlink = new Netlink()
  const ip = (words: string) => execFileSync('ip', words.split(' '))
  ip('link set lo up')
  assert.deepEqual(describeInterfaces(listNodeDevices(netlink), new Set()), [])
  for (const each of ['203.0.113.42/32', '198.51.100.1/24', '2001:db8::42/128']) ip(`addr add ${each} dev lo`)
  const reported = describeInterfaces(listNodeDevices(netlink), new Set())
  const addresses = ['203.0.113.42', '198.51.100.1', '2001:db8::42']
  assert.deepEqual(reported, [{ name: 'lo', addresses, isDefaultRoute: false }])
})

test('a program that is not in its place, and rules that do not apply to egress traffic, are conditions of the node', () => {
  const known = {
    node: undefined,
    interfaces: [],
    membership: { isMember: true },
    reachability: { reachable: [] as string[], unreachable: [] as string[] },
    isCutOff: false,
    byLink: [],
    tables: undefined,
    selected: [],
    appliedPolicies: undefined,
    appliedAddresses: undefined,
    conflicts: [],
    lingering: [],
    sharesAddress: undefined,
    applied: {
      hooks: { problems: ['Attaching to_world to device eth0 failed: another program has the place'] },
      unrouted: undefined,
      stackLoss: undefined,
    },
    stack: {
      rules: {
        chains: [],
        legacyTables: [],
        ipsec: [prefix('192.0.2.0/24')],
        routingRules: 0,
        routingSources: [],
      },
      isGateway: true,
      forwardsByStack: false,
      servicesByStack: false,
    },
    tunnelPort: 8472,
    before: [],
    now: '2026-01-01T00:00:00Z',
  } as const
  const { conditions, bypassedIPsec } = describeNode(known)
  assert.deepEqual(
    conditions?.map(({ type, reason }) => `${type} ${reason}`),
    ['Connected Connected', 'ProgramMissing HookTaken', 'RulesBypassed IPsecPolicies'],
  )
  assert.match(conditions?.[1]?.message ?? '', /^Attaching to_world to device eth0 failed: .*place\.$/)
  assert.deepEqual(bypassedIPsec, ['192.0.2.0/24'])
  assert.deepEqual(
    describeNode({ ...known, stack: { ...known.stack, forwardsByStack: true } }).bypassedIPsec,
    [],
  )
})
