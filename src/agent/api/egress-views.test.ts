import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ciliumPolicy, egressNode, pod, prefix, world } from '../../../test/support/world-builder.ts'
import { findUnserved } from '../../decide/policies/unserved-networks.ts'
import { resolve } from '../../decide/resolve.ts'
import type { Address } from '../../net/address.ts'
import { describeEgress, holderOf, holdersOf } from './egress-views.ts'

const [one, three] = ['172.18.0.42', '172.18.0.44'] as [Address, Address]
const added = (name: string, ...addresses: readonly Address[]) =>
  egressNode(name, 0, [{ name: 'net0', addresses: [], added: [...addresses], isDefaultRoute: false }])
const holder = (self: 'w3' | 'w4' | 'w9', held: readonly Address[], unreachable: readonly string[] = []) => {
  const nodes = [added('w3'), added('w4', one)]
  const holders = holdersOf(nodes, { name: self, held: new Set(held) })
  return holderOf(['w3', 'w4'], new Set(unreachable), holders.get(one))
}

for (const [name, found, expected] of [
  ['the owner holds an egress IP that no successor has taken over', holderOf(['w3', 'w4'], new Set()), 'w3'],
  ['a successor that has taken an egress IP over holds it, also while its owner is reachable again', holder('w9', []), 'w4'],
  ['a successor that has taken an egress IP over and is unreachable does not hold it', holder('w9', [], ['w4']), 'w3'],
  ['the first reachable successor holds an egress IP before it has reported so', holder('w3', [], ['w3']), 'w4'],
  ['a node knows what it holds itself before anything was reported', holder('w4', [one]), 'w4'],
  ['a node knows what it does not hold any more, whatever it has reported', holder('w4', []), 'w3'],
  ['the owner of an egress IP is named if no gateway is reachable', holder('w9', [], ['w3', 'w4']), 'w3'],
] as const) // biome-ignore format: a table
  test(name, () => assert.equal(found, expected))

const alone = {
  self: 'w1',
  byLink: new Set<string>(),
  unreachable: new Set<string>(),
  holders: new Map(),
  unserved: () => undefined,
}

test('a row says by which path packets get to the holder, and none for the node itself or an unreachable one', () => {
  const client = pod('client', { labels: { org: 'alliance' } })
  const tables = resolve(world({ ciliumPolicies: [ciliumPolicy('p')], pods: [client] }))
  const attachment = { pod: client, addresses: client.ips }
  const path = (knowledge: object) =>
    describeEgress(tables, [attachment as never], [], { ...alone, ...knowledge })[0]?.egressIps[0]
  const { holder = '' } = path({}) ?? {}
  assert.equal(path({})?.path, 'tunnel')
  assert.equal(path({ byLink: new Set([holder]) })?.path, 'link')
  assert.equal(path({ self: holder, byLink: new Set([holder]) })?.path, undefined)
  assert.equal(
    path({ unreachable: new Set([...tables.nodes.values()].map(({ name }) => name)) })?.path,
    undefined,
  )
})

test('each destination of a pod has the count of its own flows', () => {
  const destinationCIDRs = ['203.0.113.0/24', '203.0.113.9/32', '198.51.100.0/24']
  const client = pod('client', { labels: { org: 'alliance' } })
  const tables = resolve(world({ ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs })], pods: [client] }))
  const [source] = client.ips
  assert.ok(source)
  const [egressIp] = [...tables.groups.values()][0]?.preferred ?? []
  assert.ok(egressIp)
  const flow = (destination: string, egress_ip = egressIp) =>
    [{ source, destination: destination as Address }, { egress_ip }] as const
  const attachment = { pod: client, addresses: [source] }
  const flows = [
    flow('203.0.113.1'), flow('203.0.113.1'), flow('203.0.113.9'), flow('192.0.2.1'), flow('203.0.113.2', three),
  ] // biome-ignore format: a list
  const views = describeEgress(tables, [attachment as never], flows, {
    ...alone,
  })
  assert.deepEqual(
    new Map(views.map(({ destination, egressIps: [first] }) => [destination, first?.flows])),
    new Map([
      [prefix('203.0.113.0/24'), 2],
      [prefix('203.0.113.9/32'), 1],
      [prefix('198.51.100.0/24'), 0],
    ]),
  )
})

test('a destination to which no policy applies has no egress IP', () => {
  const of = world({ ciliumPolicies: [ciliumPolicy('p', { destinationCIDRs: ['10.96.0.0/24'] })] })
  const [client] = of.pods
  const attachment = { pod: client, addresses: client?.ips }
  const [view] = describeEgress(resolve(of), [attachment as never], [], {
    ...alone,
    unserved: findUnserved(of),
  })
  assert.deepEqual(
    [view?.action, view?.reason, view?.egressIps],
    ['unserved', "packets have the pod's address", []],
  )
})
