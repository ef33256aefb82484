import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  enterPrivateNamespaces,
  privateNamespacesRefused,
} from '../../../../test/support/private-namespaces.ts'
import { ciliumPolicy, world } from '../../../../test/support/world-builder.ts'
import { openDatapath } from '../../../datapath/datapath.ts'
import { resolve } from '../../../decide/resolve.ts'
import type { Address } from '../../../net/address.ts'
import { planDatapath } from '../../plan.ts'
import { Timings } from '../../timings.ts'
import { createMetrics } from './metrics.ts'

const [own, other] = ['172.18.0.42', '172.18.0.43'] as [Address, Address]
test('metrics tell of ports, leases, flows, gateways and takeovers', {
  skip: privateNamespacesRefused,
}, async () => {
  const bpffs = enterPrivateNamespaces()
  await using datapath = openDatapath({ pinDirectory: `${bpffs}/sallyport` })
  const tables = resolve(world({ ciliumPolicies: [ciliumPolicy('p')] }))
  const overlay = { ifindex: 2, mac: '02:00:00:00:00:01', mtu: 1450 }
  const nothing = { lingering: new Map(), unusable: new Set<Address>(), bound: new Map() }
  await datapath.apply(planDatapath(tables, [], overlay, nothing))
  const timings = new Timings()
  timings.failedOver(
    { egressIp: other, gateway: other, ms: 360 },
    new Map([[other, { name: 'worker4', slot: 4 }]]),
  )
  timings.ofPorts.onLeased(30)
  timings.loops.note('tables', 0.01, true)
  const reading = {
    entries: 7,
    portsUsed: new Map([[own, 5]]),
    totals: [
      {
        ...{ policy: [...tables.policies.keys()][0] ?? 0n, egressIp: own, open: 6, opened: 9 },
        ...{ packetsOut: 30, packetsIn: 20, bytesOut: 3000, bytesIn: 2000 },
      },
      {
        ...{ policy: 0n, egressIp: '::' as Address, open: 1, opened: 1 },
        ...{ packetsOut: 1, packetsIn: 0, bytesOut: 60, bytesIn: 0 },
      },
    ],
  }
  const text = await createMetrics(datapath, { reading }, timings, () => ({
    isReady: true,
    problems: 1,
    pods: 2,
    tables,
    reachability: { reachable: ['worker3'], unreachable: ['worker4'] },
    held: new Set([other]),
    leasedBlocks: new Map([[own, 3]]),
    takeovers: { takenOver: 1, handedBack: 0 },
    pathChanges: { link: 3, tunnel: 2 },
    natLog: { records: 5, lost: { buffer: 0, limit: 2, file: 0, collector: 0 } },
    demandedBlocks: new Map([[own, 4]]),
    crowded: new Map([[own, 2]]),
    paths: [{ node: 'worker3', path: 'link' }],
    roundTripsNs: new Map([['worker3', 150_000n]]),
    watches: [{ resource: 'nodes', idleMs: 1500, isStale: false }],
  })).metrics()
  for (const line of [
    'sallyport_ready 1',
    'sallyport_pods 2',
    'sallyport_policies 1',
    'sallyport_problems 1',
    'sallyport_mappings 7',
    'sallyport_ports_used{egress_ip="172.18.0.42"} 5',
    'sallyport_ports_demanded{egress_ip="172.18.0.42"} 64',
    'sallyport_top_destination_flows{egress_ip="172.18.0.42"} 2',
    'sallyport_flows{policy="CiliumEgressGatewayPolicy/p",egress_ip="172.18.0.42"} 6',
    'sallyport_flows_opened_total{policy="CiliumEgressGatewayPolicy/p",egress_ip="172.18.0.42"} 9',
    'sallyport_flow_packets_total{policy="CiliumEgressGatewayPolicy/p",egress_ip="172.18.0.42",direction="out"} 30',
    'sallyport_flow_bytes_total{policy="CiliumEgressGatewayPolicy/p",egress_ip="172.18.0.42",direction="in"} 2000',
    'sallyport_flow_bytes_total{policy="",egress_ip="",direction="out"} 60',
    'sallyport_gateway_path{gateway="worker3",path="link"} 1',
    'sallyport_gateway_probe_round_trip_seconds{gateway="worker3"} 0.00015',
    'sallyport_failover_duration_seconds_bucket{le="0.4",gateway="worker4"} 1',
    'sallyport_lease_wait_seconds_count 1',
    'sallyport_reconciliation_duration_seconds_count{loop="tables"} 1',
    'sallyport_reconciliation_failures_total{loop="tables"} 1',
    'sallyport_watch_idle_seconds{resource="nodes"} 1.5',
    'sallyport_watch_failing{resource="nodes"} 0',
    'sallyport_ports_leased{egress_ip="172.18.0.42"} 48',
    'sallyport_gateway_reachable{gateway="worker3"} 1',
    'sallyport_gateway_reachable{gateway="worker4"} 0',
    'sallyport_egress_ip_held{egress_ip="172.18.0.43"} 1',
    'sallyport_path_changes_total{path="link"} 3',
    '# TYPE sallyport_path_packets_total counter',
    'sallyport_nat_log_records_total 5',
    'sallyport_nat_log_lost_records_total{reason="limit"} 2',
    'sallyport_takeovers_total 1',
    'sallyport_hand_backs_total 0',
    '# TYPE sallyport_packets_total counter',
  ])
    assert.ok(text.split('\n').includes(line), `${line}\n${text}`)
  assert.match(text, /^sallyport_ports_owned\{egress_ip="172\.18\.0\.42"\} 64$/m)
  assert.doesNotMatch(text, /table="self"/, 'an array is always full')
  assert.match(text, /^sallyport_table_limit\{table="rules"\} [1-9]\d+$/m)
  assert.match(text, /^sallyport_build_info\{component="agent",version="\d/m)
  assert.match(text, /^sallyport_mappings_limit [1-9]\d+$/m)
})
