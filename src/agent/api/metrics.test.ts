import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { ciliumPolicy, world } from '../../../test/support/world-builder.ts'
import { openDatapath } from '../../datapath/datapath.ts'
import { resolve } from '../../decide/resolve.ts'
import type { Address } from '../../net/address.ts'
import { TakeoverCounts } from '../failover/takeover-counts.ts'
import { createMetrics } from './metrics.ts'

const [own, other] = ['172.18.0.42', '172.18.0.43'] as [Address, Address]
const isOwn = (address: Address): boolean => address === own

test('takeovers and hand backs are counted; addresses that belong here are neither', () => {
  const counts = new TakeoverCounts()
  for (const held of [[own], [own, other], [own, other], [own], [other]]) counts.note(new Set(held), isOwn)
  assert.deepEqual([counts.takenOver, counts.handedBack], [2, 1])
})

test('metrics tell of ports, leases, flows, gateways and takeovers', {
  skip: privateNamespacesRefused,
}, async () => {
  const bpffs = enterPrivateNamespaces()
  await using datapath = openDatapath({ pinDirectory: `${bpffs}/sallyport` })
  const takeovers = new TakeoverCounts()
  takeovers.note(new Set([other]), isOwn)
  const tables = resolve(world({ ciliumPolicies: [ciliumPolicy('p')] }))
  const text = await createMetrics(datapath, () => ({
    isReady: true,
    pods: 2,
    tables,
    hearing: { heard: ['worker3'], unreachable: ['worker4'] },
    held: new Set([other]),
    leasedBlocks: new Map([[own, 3]]),
    takeovers,
  })).metrics()
  for (const line of [
    'sallyport_ready 1',
    'sallyport_pods 2',
    'sallyport_policies 1',
    'sallyport_mappings 0',
    'sallyport_ports_leased{egress_ip="172.18.0.42"} 48',
    'sallyport_gateway_reachable{gateway="worker3"} 1',
    'sallyport_gateway_reachable{gateway="worker4"} 0',
    'sallyport_egress_ip_held{egress_ip="172.18.0.43"} 1',
    'sallyport_takeovers_total 1',
    'sallyport_hand_backs_total 0',
    '# TYPE sallyport_packets_total counter',
  ])
    assert.ok(text.split('\n').includes(line), `${line}\n${text}`)
  assert.match(text, /^sallyport_ports_owned\{egress_ip="172\.18\.0\.42"\} 64$/m)
  assert.match(text, /^sallyport_mappings_limit [1-9]\d+$/m)
})
