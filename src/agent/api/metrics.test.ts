import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { ciliumPolicy, world } from '../../../test/support/world-builder.ts'
import { openDatapath } from '../../datapath/datapath.ts'
import { resolve } from '../../decide/resolve.ts'
import type { Address } from '../../net/address.ts'
import { createMetrics } from './metrics.ts'

const [own, other] = ['172.18.0.42', '172.18.0.43'] as [Address, Address]
test('metrics tell of ports, leases, flows, gateways and takeovers', {
  skip: privateNamespacesRefused,
}, async () => {
  const bpffs = enterPrivateNamespaces()
  await using datapath = openDatapath({ pinDirectory: `${bpffs}/sallyport` })
  const tables = resolve(world({ ciliumPolicies: [ciliumPolicy('p')] }))
  const text = await createMetrics(datapath, () => ({
    isReady: true,
    pods: 2,
    tables,
    reachability: { reachable: ['worker3'], unreachable: ['worker4'] },
    held: new Set([other]),
    leasedBlocks: new Map([[own, 3]]),
    takeovers: { takenOver: 1, handedBack: 0 },
    natLog: { records: 5, lost: { buffer: 0, limit: 2, file: 0, collector: 0 } },
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
    'sallyport_nat_log_records_total 5',
    'sallyport_nat_log_lost_records_total{reason="limit"} 2',
    '# TYPE sallyport_packets_total counter',
  ])
    assert.ok(text.split('\n').includes(line), `${line}\n${text}`)
  assert.match(text, /^sallyport_ports_owned\{egress_ip="172\.18\.0\.42"\} 64$/m)
  assert.match(text, /^sallyport_mappings_limit [1-9]\d+$/m)
})
