import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { device } from '../../test/support/failover-under-test.ts'
import {
  enterPrivateNamespaces,
  privateNamespacesRefused as skip,
} from '../../test/support/private-namespaces.ts'
import { prefix } from '../../test/support/world-builder.ts'
import { Netlink } from '../linux/netlink.ts'
import { listNodeDevices } from './node/node-network.ts'
import { describeInterfaces, describeNode } from './report.ts'

test('a node reports why an interface carries no traffic', () => {
  const problemOf = (changes: Parameters<typeof device>[0]) =>
    describeInterfaces([device(changes)], new Set())[0]?.problem
  assert.equal(problemOf({}), undefined)
  assert.equal(problemOf({ isUp: false, hasCarrier: false }), 'Down')
  assert.equal(problemOf({ hasCarrier: false }), 'NoCarrier')
  assert.equal(problemOf({ mac: undefined, kind: 'wireguard' }), 'NoEthernetHeader')
})

test('a device that only holds addresses need not be up', () => {
  for (const kind of ['dummy', 'ifb'])
    assert.equal(
      describeInterfaces([device({ kind, isUp: false, hasCarrier: false })], new Set())[0]?.problem,
      undefined,
    )
})

test('a tun device with an address is reported as one that egress IPs cannot use', { skip }, () => {
  enterPrivateNamespaces()
  for (const words of ['tuntap add tun0 mode tun', 'link set tun0 up', 'addr add 198.51.100.1/24 dev tun0'])
    execFileSync('ip', words.split(' '))
  using netlink = new Netlink()
  const [tun] = describeInterfaces(listNodeDevices(netlink), new Set())
  assert.deepEqual([tun?.name, tun?.problem], ['tun0', 'NoEthernetHeader'])
})

test('a program that is not in its place, and rules that packets pass by, are conditions of the node', () => {
  const known = {
    node: undefined,
    interfaces: [],
    membership: { isMember: true },
    reachability: { reachable: new Array<string>(), unreachable: new Array<string>() },
    isCutOff: false,
    tables: undefined,
    selected: [],
    hookProblems: ['Attaching to_world to device eth0 failed: another program has the place'],
    stack: {
      rules: { chains: [], ipsec: [prefix('192.0.2.0/24')], routingRules: 0 },
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
