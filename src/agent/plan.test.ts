import assert from 'node:assert/strict'
import { test } from 'node:test'
import { world } from '../../test/support/world-builder.ts'
import type { Tables } from '../decide/tables.ts'
import { type Address, parseAddress } from '../net/address.ts'
import { endedAddresses, planDatapath } from './plan.ts'
import type { Attachment } from './pods/attachments.ts'

const address = (text: string): Address => parseAddress(text) as Address
const overlay = { ifindex: 9, mac: '02:00:00:00:00:01', mtu: 1450 }

function tables(pods: readonly (readonly [ip: string, policySet: bigint, uid: string])[]): Tables {
  return {
    podsByIp: new Map(
      pods.map(([ip, policySet, podUid]) => [address(ip), { policySet, networkSet: 7n, podUid }]),
    ),
    cluster: new Map(),
    services: [],
    healthChecks: new Map(),
    rules: new Map(),
    networkRules: new Map(),
    portLists: new Map(),
    groups: new Map(),
    egressIps: new Map(),
    ownerless: new Set(),
    orphaned: new Map(),
    grantsDigest: '',
    policiesDigest: '',
    pools: [],
    poolAddresses: new Map(),
    clusterHosts: { macs: new Set(), addressesOfOthers: new Set() },
    nodes: new Map(),
    witnesses: [],
    policies: new Map(),
    selected: [],
    refusals: [],
    denied: [],
    carried: [],
    self: {
      tunnelAddress: address('172.18.0.2'),
      masquerade4: address('172.18.0.2'),
      masquerade6: undefined,
      slot: 1,
    },
  }
}

function attachment(uid: string, ip: string, isWired = true): Attachment {
  return {
    containerId: `container-${uid}`,
    interfaceName: 'eth0',
    pod: { namespace: 'default', name: uid, uid },
    addresses: [address(ip)],
    device: 'sp0123456789ab',
    sinceNs: 5n,
    ...(isWired ? { wired: { ifindex: 7, mac: '02:00:00:00:07:01', hostMac: '02:00:00:00:07:02' } } : {}),
  }
}

const none = { lingering: new Map(), unusable: new Set<Address>(), bound: new Map() }

test('a pod has the sets that were decided for it', () => {
  const plan = planDatapath(
    tables([['10.244.1.2', 42n, 'a']]),
    [attachment('a', '10.244.1.2')],
    overlay,
    none,
  )
  assert.deepEqual(
    [...plan.pods.values()].map(({ policySet, networkSet, isQuarantined }) => ({
      policySet,
      networkSet,
      isQuarantined,
    })),
    [{ policySet: 42n, networkSet: 7n, isQuarantined: false }],
  )
})

test('a pod that the decision does not know has an entry that lets nothing out', () => {
  const plan = planDatapath(tables([]), [attachment('a', '10.244.1.2')], overlay, none)
  assert.equal(plan.pods.get(address('10.244.1.2'))?.isQuarantined, true)
})

test('what was decided for the predecessor of an address is not its successor’s', () => {
  const plan = planDatapath(
    tables([['10.244.1.2', 42n, 'gone']]),
    [attachment('new', '10.244.1.2')],
    overlay,
    none,
  )
  assert.equal(plan.pods.get(address('10.244.1.2'))?.isQuarantined, true)
})

test('a pod that is not wired yet has no entry: without one the datapath drops', () => {
  const plan = planDatapath(
    tables([['10.244.1.2', 42n, 'a']]),
    [attachment('a', '10.244.1.2', false)],
    overlay,
    none,
  )
  assert.equal(plan.pods.size, 0)
})

test('an egress IP leaves by the device that it is bound to now, whatever the kernel held before', () => {
  const entry = (ifindex: number) => ({ order: [], blockOwner: [], ifindex })
  const [first, second] = [address('172.18.0.42'), address('172.18.0.43')]
  const lingering = new Map([
    [first, entry(3)],
    [second, entry(3)],
  ])
  const { egressIps } = planDatapath(tables([]), [], overlay, {
    ...none,
    lingering,
    bound: new Map([[second, 4]]),
  })
  assert.deepEqual(
    [first, second].map((each) => egressIps.get(each)?.ifindex),
    [undefined, 4],
  )
})

test('a gateway’s tables have no egress IP that another host may have, so that no packet leaves with it', () => {
  const [first, second] = [address('172.18.0.42'), address('172.18.0.43')]
  const lingering = new Map([first, second].map((each) => [each, { order: [], blockOwner: [] }]))
  const { egressIps } = planDatapath(tables([]), [], overlay, {
    ...none,
    lingering,
    unusable: new Set([first]),
  })
  assert.deepEqual([...egressIps.keys()], [second])
})

test('an egress IP does not linger if a person released it, if another host has it, or if it is the stack’s', () => {
  const given = world({
    egressAddresses: [
      { metadata: { name: 'a' }, spec: { address: '192.0.2.1', isReleased: true } },
      { metadata: { name: 'b' }, spec: { address: '192.0.2.2' } },
    ],
    egressNodes: [
      {
        metadata: { name: 'n' },
        status: { conflicts: [{ address: '192.0.2.3', mac: 'm', interface: 'eth0' }] },
      },
    ],
  })
  const here = [{ address: '192.0.2.4' }]
  assert.deepEqual([...endedAddresses(given, { self: 'worker', sharesAddress: false }, here)].sort(), [
    '192.0.2.1',
    '192.0.2.3',
    '192.0.2.4',
  ])
  const chained = { ...given, settings: { ...given.settings, isChained: true } }
  const has = (sharesAddress: boolean): boolean =>
    endedAddresses(chained, { self: 'worker', sharesAddress }, here).includes(address('172.18.0.2'))
  assert.deepEqual([has(false), has(true)], [true, false])
})
