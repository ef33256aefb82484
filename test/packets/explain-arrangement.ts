import type { ExplainParts } from '../../src/agent/api/explain/explain-flow.ts'
import type { ExplainRequest } from '../../src/agent/api/explain/explanation.ts'
import type { Attachment } from '../../src/agent/pods/attachments.ts'
import { openingFlow, openingPacket } from '../../src/datapath/dry-run/opening-packet.ts'
import { type RawMap, readEntries } from '../../src/datapath/maps/maps.ts'
import type { Endpoint, Tables } from '../../src/decide/tables.ts'
import type { World } from '../../src/decide/world.ts'
import { familyOf } from '../../src/net/address.ts'
import { mac, type NodeUnderTest, send } from './node-under-test.ts'
import { address } from './packet.ts'

/* What tests of `explain` do with the kernel: pods, probes and flows of a situation, and how a packet really ends. */

/** A device for each pod of the node. */
export function attachmentsOf({ devices }: NodeUnderTest, world: World): readonly Attachment[] {
  const { pod7, pod8, pod9 } = devices
  return world.pods.map(({ name, uid, namespace, ips }, index) => ({
    ...{ containerId: name, interfaceName: 'eth0', device: name, sinceNs: 1n },
    pod: { namespace, name, uid },
    addresses: ips,
    wired: { ifindex: [pod7, pod8, pod9][index] ?? 0, mac: mac.pod7, hostMac: mac.host7 },
  }))
}

let lastPort = 10_000

/** `endpoint`: what the flow has already, if it goes to a Service. */
export function realEnding(
  node: NodeUnderTest,
  { attachments }: ExplainParts,
  asked: ExplainRequest,
  endpoint?: Endpoint,
) {
  const attachment = attachments.find(({ pod }) => pod.name === asked.pod)
  const to = address(asked.to)
  const from = attachment?.addresses.find((each) => familyOf(each) === familyOf(to))
  if (attachment?.wired === undefined || from === undefined) throw new Error(`${asked.pod} has no address`)
  lastPort = lastPort === 30_000 ? 10_000 : lastPort + 1
  const flow = openingFlow(from, to, { ...asked, sourcePort: lastPort })
  const { mappings, service_flows } = node.datapath.tables
  if (endpoint !== undefined) service_flows.set(flow, endpoint)
  const packet = openingPacket(flow, { to: mac.host7, from: mac.pod7 })
  const { verdict } = send(node, 'from_pod', attachment.wired.ifindex, packet)
  const got = service_flows.get(flow)
  const opened = got === undefined ? flow : { ...flow, destination: got.address, destination_port: got.port }
  return { verdict, endpoint: got, egressIp: mappings.get(opened)?.egress_ip }
}

export function forgetFlows({ datapath }: NodeUnderTest): void {
  const { mappings, ports, pod_flows, service_flows, service_replies, affinities } = datapath.tables
  for (const [key] of [...mappings.entries()]) mappings.delete(key)
  for (const [key] of [...ports.entries()]) ports.delete(key)
  for (const [key] of [...pod_flows.entries()]) pod_flows.delete(key)
  for (const [key] of [...service_flows.entries()]) service_flows.delete(key)
  for (const [key] of [...service_replies.entries()]) service_replies.delete(key)
  for (const [key] of [...affinities.entries()]) affinities.delete(key)
}

const far = 3_600_000_000_000n

export function answerProbes(
  { datapath, devices }: NodeUnderTest,
  tables: Tables,
  probes: readonly string[],
  onLink: readonly boolean[],
): void {
  const { liveness, probed_gateways, links, link_macs } = datapath.tables
  const now = process.hrtime.bigint()
  liveness.set(0, { alive_until_ns: now + far, probing_until_ns: now + far })
  for (const [key] of [...probed_gateways.entries()]) probed_gateways.delete(key)
  for (const tunnelAddress of tables.nodes.keys()) {
    const nextMac = `02:00:00:00:0a:0${Number(tunnelAddress.at(-1)) || 0}`
    link_macs.set(nextMac, tunnelAddress)
    links.set(tunnelAddress, {
      ...{ answeredNs: onLink[Number(tunnelAddress.at(-1))] ? now + far : 0n, probeSource: undefined },
      ...{ ifindex: devices.world, mtu: 1500, mac: nextMac, ownMac: mac.overlay },
    })
    const probe = probes[Number(tunnelAddress.at(-1))]
    if (probe === 'not probed' || probe === undefined || tunnelAddress === tables.self.tunnelAddress) continue
    probed_gateways.set(tunnelAddress, {
      answered_ns: probe === 'silent' ? 0n : now + far,
      refused_ns: 0n,
      flapping_until_ns: probe === 'flapping' ? now + far : 0n,
    })
  }
}

/** Flows of another client of the node have this part of each pool, towards the destination of the request. */
export function fillPools(
  { datapath }: NodeUnderTest,
  tables: Tables,
  asked: ExplainRequest,
  full: number,
): void {
  const { mappings, ports } = datapath.tables
  const to = address(asked.to)
  const client = address(familyOf(to) === 4 ? '10.244.1.0' : 'fd00::')
  const now = process.hrtime.bigint()
  let clientPort = 1024
  for (const { address: egressIp, blocks, purpose } of tables.pools) {
    if (familyOf(egressIp) !== familyOf(to)) continue
    const all = blocks.flatMap((block) => Array.from({ length: 16 }, (_, index) => block * 16 + index))
    if (all.length > 128) continue
    for (const port of all.slice(0, Math.round(all.length * full))) {
      const flow = openingFlow(client, to, { ...asked, sourcePort: ++clientPort })
      mappings.set(flow, {
        ...{
          reclaimed: false,
          is_of_client: false,
          egress_ip: egressIp,
          egress_port: port,
          state: [],
          masqueraded: purpose === 'masquerade',
        },
        ...{
          through_stack: false,
          through_service: false,
          fin_out_end: 0,
          fin_in_end: 0,
          acknowledged: 0,
          policy: 0n,
        },
        ...{ created_ns: now, last_outward_ns: now, last_inward_ns: now, closed_ns: 0n },
        ...{ packets_out: 1n, packets_in: 1n, bytes_out: 60n, bytes_in: 60n },
      })
      ports.set({ ...flow, source: egressIp, source_port: port }, flow)
    }
  }
}

/** Every byte of the maps that a flow may change, and the counters. */
export function everything({ datapath }: NodeUnderTest): unknown {
  const { mappings, ports, pod_flows, policy_drops, pool_pressures, inbound, fragments } = datapath.tables
  const { service_flows, service_replies, affinities } = datapath.tables
  const maps: readonly { readonly raw: RawMap }[] = [
    mappings,
    ports,
    pod_flows,
    policy_drops,
    pool_pressures,
    inbound,
    fragments,
    service_flows,
    service_replies,
    affinities,
  ]
  return [
    datapath.counts(),
    maps.map(({ raw }) =>
      [...readEntries(raw)].map(([key, value]) => `${key} ${value.toString('latin1')}`).sort(),
    ),
  ]
}
