import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EgressIp, Tables } from '../decide/tables.ts'
import type { World } from '../decide/world.ts'
import { type Address, parseAddress } from '../net/address.ts'
import { Lingering } from './lingering.ts'

const address = (text: string): Address => parseAddress(text) as Address
const own = address('172.18.0.2')
const noNodes = { self: 'worker', nodes: [], egressNodes: [] }

const wants = (...egressIps: readonly (readonly [Address, EgressIp])[]) => ({
  egressIps: new Map(egressIps),
  orphaned: new Map<Address, readonly Address[]>(),
  poolAddresses: new Map<Address, { node: string; interface: undefined }>(),
  self: { tunnelAddress: own } as Tables['self'],
})

test('another gateway answers for an egress IP that its owner has lost, and its time to stay is as long', () => {
  const lingering = new Lingering(1000)
  const [ip, owner, successor] = ['172.18.0.42', '172.18.0.4', '172.18.0.3'].map(address) as [
    Address,
    Address,
    Address,
  ]
  lingering.update(wants([ip, { order: [owner, successor], blockOwner: [] }]), noNodes, 0)
  const orphaned = { ...wants(), orphaned: new Map([[ip, [successor]]]) }
  assert.deepEqual(lingering.update(orphaned, noNodes, 1000).get(ip)?.order, [successor])
  assert.deepEqual(lingering.known.lingeringOrders.get(ip), [owner, successor])
  assert.equal(lingering.update(orphaned, noNodes, 1001).has(ip), false)
})

test('an egress IP stays for as long as a connection may be silent, and then goes', () => {
  const lingering = new Lingering(1000)
  const entry: EgressIp = { order: [address('172.18.0.4')], blockOwner: [] }
  const ip = address('172.18.0.42')
  lingering.update(wants([ip, entry]), noNodes, 0)
  assert.equal(lingering.update(wants(), noNodes, 1000).has(ip), true)
  assert.equal(lingering.update(wants(), noNodes, 1001).has(ip), false)
})

test('an egress IP that came from a pool is known as such for as long as it lingers', () => {
  const lingering = new Lingering(1000)
  const [pooled, configured] = [address('172.18.0.96'), address('172.18.0.42')] as const
  const entry: EgressIp = { order: [address('172.18.0.4')], blockOwner: [] }
  const wanted = wants([pooled, entry], [configured, entry])
  const poolAddresses = new Map([[pooled, { node: 'worker3', interface: undefined }]])
  lingering.update({ ...wanted, poolAddresses }, noNodes, 0)
  lingering.update(wants(), noNodes, 1000)
  assert.deepEqual([...lingering.known.lingeringFromPools], [pooled])
  lingering.update(wants(), noNodes, 1001)
  assert.equal(lingering.known.lingeringFromPools.size, 0)
})

test('an egress IP that a Node object names as the address of this node, which does not have it, keeps its gateways', () => {
  const lingering = new Lingering(1000)
  const ip = address('172.18.0.99')
  const order = [address('172.18.0.4')]
  lingering.update(wants([ip, { order, blockOwner: [] }]), noNodes, 0)
  const interfaces = [{ name: 'eth0', addresses: [own], added: [ip], isDefaultRoute: true }]
  const world = { ...noNodes, egressNodes: [{ metadata: { name: 'worker' }, status: { interfaces } }] }
  const asItsOwn = wants([ip, { order: [ip], blockOwner: [] }])
  lingering.update({ ...asItsOwn, self: { tunnelAddress: ip, masquerade4: ip } as Tables['self'] }, world, 0)
  assert.deepEqual(lingering.update(wants(), world, 0).get(ip)?.order, order)
})

test('what the kernel held before a restart counts as wanted at the restart', () => {
  const lingering = new Lingering(1000)
  const ip = address('172.18.0.42')
  lingering.restore([[ip, { order: [], blockOwner: [] }]], 5000)
  assert.equal(lingering.update(wants(), noNodes, 6000).has(ip), true)
  assert.equal(lingering.update(wants(), noNodes, 6001).has(ip), false)
})

test('an egress IP that was released goes at once, and one that a policy uses stays', () => {
  const lingering = new Lingering(1000)
  const entry: EgressIp = { order: [address('172.18.0.4')], blockOwner: [] }
  const ip = address('172.18.0.42')
  lingering.update(wants([ip, entry]), noNodes, 0)
  assert.equal(lingering.update(wants([ip, entry]), noNodes, 1, [ip]).has(ip), true)
  assert.equal(lingering.update(wants(), noNodes, 2, [ip]).has(ip), false)
})

describe('an egress IP that lingers, after gateways of its order have booted again', () => {
  const ip = address('172.18.0.42')
  const gateways = { worker3: address('172.18.0.4'), worker4: address('172.18.0.3') }
  const { worker3, worker4 } = gateways
  const known = (
    boots: Partial<Record<keyof typeof gateways, string>>,
    more: Partial<Pick<World, 'egressNodes' | 'unreachableNodes'>> = {},
  ) => ({
    nodes: Object.entries(gateways).map(([name, internalIP]) => {
      const bootId = boots[name as keyof typeof gateways]
      return { name, labels: {}, internalIPs: [internalIP], podCIDRs: [], ...(bootId && { bootId }) }
    }),
    self: 'worker',
    egressNodes: [],
    ...more,
  })
  const wanted = wants([ip, { order: [worker3, worker4], blockOwner: [] }])
  const first = known({ worker3: 'a', worker4: 'b' })
  const orderAfter = (
    ...steps: readonly (readonly [ReturnType<typeof wants>, ReturnType<typeof known>])[]
  ) => {
    const lingering = new Lingering(1000)
    return steps.map(([wants, nodes]) => lingering.update(wants, nodes, 0).get(ip)?.order).at(-1)
  }
  const configured = [
    { metadata: { name: 'worker3' }, status: { interfaces: [{ name: 'net0', addresses: [ip] }] } },
  ] as never
  for (const [name, steps, order] of [
    ['is not asked of one that booted since', [[wanted, first], [wants(), known({ worker3: 'c', worker4: 'b' })]], [worker4]],
    ['leaves out such a gateway later, too', [[wanted, first], [wants(), known({ worker3: 'c', worker4: 'b' })], [wants(), first]], [worker4]],
    ['is not asked of any if all booted', [[wanted, first], [wants(), known({ worker3: 'c', worker4: 'd' })]], []],
    ['stays with one that booted while a policy named it', [[wanted, first], [wanted, known({ worker3: 'c' })], [wants(), known({ worker3: 'c' })]], [worker3, worker4]],
    ['does not stay with one that booted, but did not answer while a policy named it', [[wanted, first], [wanted, known({ worker3: 'c' }, { unreachableNodes: new Set(['worker3']) })], [wants(), known({ worker3: 'c' })]], [worker4]],
    ['stays with one that has it configured', [[wanted, first], [wants(), known({ worker3: 'c', worker4: 'b' }, { egressNodes: configured })]], [worker3, worker4]],
    ['stays with one whose kubelet reports no boot any more', [[wanted, first], [wants(), known({})]], [worker3, worker4]],
    ['stays with one whose first boot is reported late', [[wanted, known({})], [wants(), first]], [worker3, worker4]],
    ['goes from such a one when it boots after that', [[wanted, known({})], [wants(), first], [wants(), known({ worker3: 'c', worker4: 'b' })]], [worker4]],
  ] as const) // biome-ignore format: a table
    test(name, () => assert.deepEqual(orderAfter(...steps), order))
  test('belongs to all its gateways again as soon as a policy names it', () => {
    const rebooted = known({ worker3: 'c', worker4: 'b' })
    assert.deepEqual(orderAfter([wanted, first], [wants(), rebooted], [wanted, rebooted]), [worker3, worker4])
  })
})
