import { hostname, release } from 'node:os'
import type { Count } from '../../datapath/counts.ts'
import type { Datapath } from '../../datapath/datapath.ts'
import type { DropRecord } from '../../datapath/tables/observation-tables.ts'
import type { Tables } from '../../decide/tables.ts'
import { endText, type Family, familyOf } from '../../net/address.ts'
import { type NodeDevice, overlayName } from '../node/node-network.ts'
import type { Overlay } from '../plan.ts'
import type { Attachment } from '../pods/attachments.ts'
import { dropReason } from './drop-reasons.ts'
import type { AgentStatus, DropEvent } from './local-api.ts'

const protocolNames: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  132: 'SCTP',
}

export const protocolName = (protocol: number): string => protocolNames[protocol] ?? String(protocol)

interface DropWitness {
  readonly node: string
  readonly attachments: readonly Pick<Attachment, 'addresses' | 'pod'>[]
  /** The same moment on two clocks. */
  readonly nowNs: bigint
  readonly nowMs: number
}

export function describeDrop(drop: DropRecord, { node, attachments, nowNs, nowMs }: DropWitness): DropEvent {
  const { flow, program, verdict, length } = drop
  const { text: reason, remedy } = dropReason(verdict)
  const found = attachments.find(
    ({ addresses }) => addresses.includes(flow.source) || addresses.includes(flow.destination),
  )
  return {
    node,
    remedy,
    ...(found === undefined ? {} : { pod: `${found.pod.namespace}/${found.pod.name}` }),
    time: new Date(nowMs - Number((nowNs - drop.time_ns) / 1_000_000n)).toISOString(),
    program: program.toLowerCase(),
    verdict,
    reason,
    source: endText(flow.source, flow.source_port),
    destination: endText(flow.destination, flow.destination_port),
    protocol: protocolName(flow.protocol),
    length,
  }
}

function masquerades(tables: Tables | undefined, family: Family): boolean {
  return (tables?.pools ?? []).some(
    ({ address, purpose }) => purpose === 'masquerade' && familyOf(address) === family,
  )
}

interface StatusParts {
  /** Flows in the table. */
  readonly mappings: number
  readonly version: string
  readonly node: string
  readonly isReady: boolean
  readonly startedAt: string
  readonly devices: readonly NodeDevice[]
  readonly podCIDRs: readonly string[]
  readonly tables: Tables | undefined
  readonly overlay: Overlay | undefined
  readonly tunnelPort: number
  readonly paths: AgentStatus['paths'] | undefined
  readonly attachments: readonly Attachment[]
  readonly datapath: Datapath
  readonly problems: readonly string[]
}

export function describeStatus(parts: StatusParts): AgentStatus {
  const { version, node, isReady, startedAt, podCIDRs, tables, overlay, problems, datapath } = parts
  const counts = datapath.counts()
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
      ipv4: masquerades(tables, 4),
      ipv6: masquerades(tables, 6) && podCIDRs.some((prefix) => prefix.includes(':')),
    },
    slot: tables?.self.slot,
    tunnel: { device: overlayName, port: parts.tunnelPort, mtu: overlay?.mtu ?? 0 },
    ...(parts.paths === undefined ? {} : { paths: parts.paths }),
    counts: {
      pods: parts.attachments.length,
      policies: tables?.policies.size ?? 0,
      nodes: tables?.nodes.size ?? 0,
      mappings: parts.mappings,
    },
    verdicts: counts.map(describeCount),
    drops: describeDrops(counts),
    problems,
  }
}

/** One entry for each reason, summed over all programs, most packets first. */
function describeDrops(counts: readonly Count[]): AgentStatus['drops'] {
  const packets = new Map<string, number>()
  for (const { verdict, packets: more } of counts)
    if (verdict.startsWith('DROP_')) packets.set(verdict, (packets.get(verdict) ?? 0) + Number(more))
  return [...packets]
    .toSorted(([, a], [, b]) => b - a)
    .map(([verdict, sum]) => {
      const { text, remedy } = dropReason(verdict)
      return { verdict, reason: text, remedy, packets: sum }
    })
}

function describeCount({ program, verdict, packets, bytes }: Count) {
  return { program: program.toLowerCase(), verdict, packets: Number(packets), bytes: Number(bytes) }
}
