import { hostname, release } from 'node:os'
import type { Count, Datapath } from '../datapath/datapath.ts'
import type { DropRecord } from '../datapath/tables.ts'
import type { Rule, Tables } from '../decide/tables.ts'
import type { Address } from '../net/address.ts'
import type { Attachment } from './attachments.ts'
import type { AgentStatus, DropEvent, EgressView } from './local-api.ts'
import { type NodeDevice, overlayName } from './node-network.ts'
import type { Overlay } from './plan.ts'

/** Reasons in the words that users of other gateways know, where they have them. */
const reasons: Readonly<Record<string, string>> = {
  DROP_MALFORMED: 'Invalid packet',
  DROP_NO_GATEWAY: 'No egress gateway found',
  DROP_NO_EGRESS_IP: 'No Egress IP configured',
  DROP_NETWORK_POLICY: 'Policy denied',
  DROP_NO_ROUTE: 'FIB lookup failed',
  DROP_NO_FREE_PORT: 'No mapping for NAT masquerade',
  DROP_UNSUPPORTED_PROTOCOL: 'Unsupported protocol for NAT masquerade',
  DROP_TOO_BIG: 'Fragmentation needed',
  DROP_VLAN: 'Unexpected VLAN tag',
  DROP_TUNNEL_PORT: 'Invalid tunnel packet',
  DROP_TTL_EXCEEDED: 'TTL exceeded',
  DROP_UNKNOWN_FRAGMENT: 'First logical datagram fragment not found',
}

export function describeVerdict(verdict: string): string {
  const words = verdict
    .replace(/^DROP_/, '')
    .replaceAll('_', ' ')
    .toLowerCase()
  return reasons[verdict] ?? words.charAt(0).toUpperCase() + words.slice(1)
}

const protocolNames: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  132: 'SCTP',
}

/** `nowNs` and `nowMs` are the same moment on the two clocks. */
export function describeDrop(drop: DropRecord, nowNs: bigint, nowMs: number): DropEvent {
  const { flow, program, verdict, length } = drop
  const end = (address: Address, port: number): string =>
    address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
  return {
    time: new Date(nowMs - Number((nowNs - drop.time_ns) / 1_000_000n)).toISOString(),
    program: program.toLowerCase(),
    verdict,
    reason: describeVerdict(verdict),
    source: end(flow.source, flow.source_port),
    destination: end(flow.destination, flow.destination_port),
    protocol: protocolNames[flow.protocol] ?? String(flow.protocol),
    length,
  }
}

export interface StatusParts {
  readonly version: string
  readonly node: string
  readonly isReady: boolean
  readonly startedAt: string
  readonly devices: readonly NodeDevice[]
  readonly podCIDRs: readonly string[]
  readonly tables: Tables | undefined
  readonly overlay: Overlay | undefined
  readonly tunnelPort: number
  readonly attachments: readonly Attachment[]
  readonly datapath: Datapath
  readonly problems: readonly string[]
}

export function describeStatus(parts: StatusParts): AgentStatus {
  const { version, node, isReady, startedAt, podCIDRs, tables, overlay, problems, datapath } = parts
  return {
    version,
    node: node || hostname(),
    isReady,
    startedAt,
    kernel: release(),
    devices: parts.devices.map(({ name, addresses }) => ({
      name,
      addresses,
      isDirectRouting: tables !== undefined && addresses.includes(tables.self.tunnelAddress),
    })),
    podCIDRs,
    masquerading: {
      ipv4: tables?.self.masquerade4 !== undefined,
      ipv6: tables?.self.masquerade6 !== undefined && podCIDRs.some((prefix) => prefix.includes(':')),
    },
    slot: tables?.self.slot,
    tunnel: { device: overlayName, port: parts.tunnelPort, mtu: overlay?.mtu ?? 0 },
    counts: {
      pods: parts.attachments.length,
      policies: tables?.policies.size ?? 0,
      nodes: tables?.nodes.size ?? 0,
      mappings: datapath.tables.mappings.count(),
    },
    verdicts: datapath.counts().map(describeCount),
    problems,
  }
}

function describeCount({ program, verdict, packets, bytes }: Count) {
  return { program: program.toLowerCase(), verdict, packets: Number(packets), bytes: Number(bytes) }
}

/** What is really in the tables for each pod of this node, with the flows that use it now. */
export function describeEgress(
  tables: Tables,
  attachments: readonly Attachment[],
  datapath: Datapath,
): EgressView[] {
  const nameByTunnel = new Map([...tables.nodes].map(([address, { name }]) => [address, name]))
  const flows = countFlows(datapath)
  return attachments.flatMap(({ pod, addresses }) => {
    const set = addresses.map((address) => tables.podsByIp.get(address)).find((found) => found !== undefined)
    return [...(tables.rules.get(set?.policySet ?? 0n) ?? [])].map(([destination, rule]) => ({
      pod: { namespace: pod.namespace, name: pod.name, ips: addresses },
      destination,
      policy: tables.policies.get(rule.policy) ?? { kind: '', name: '' },
      action: rule.action,
      ...(rule.action === 'drop' ? { reason: describeVerdict(rule.reason) } : {}),
      egressIps: openAddresses(tables, rule).map((address) => {
        const order = (tables.egressIps.get(address)?.order ?? []).map(
          (each) => nameByTunnel.get(each) ?? each,
        )
        const pool = tables.pools.find((each) => each.address === address && each.purpose === 'egress')
        return {
          address,
          holder: order[0],
          order,
          portsOwned: (pool?.blocks.length ?? 0) * 16,
          flows: addresses.reduce((sum, source) => sum + (flows.get(`${source} ${address}`) ?? 0), 0),
        }
      }),
    }))
  })
}

function openAddresses(tables: Tables, rule: Rule): readonly Address[] {
  const group = rule.action === 'egress' ? tables.groups.get(rule.group) : undefined
  return group === undefined ? [] : [...group.preferred, ...group.standby]
}

/** Mappings by pod address and egress IP. Walks the whole table. */
function countFlows(datapath: Datapath): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const [flow, mapping] of datapath.tables.mappings.entries()) {
    const key = `${flow.source} ${mapping.egress_ip}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}
