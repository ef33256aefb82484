import type { Datapath } from '../../../datapath/datapath.ts'
import type { Tables } from '../../../decide/tables.ts'
import type { Definitions, Value } from '../../../runtime/metrics/registry.ts'
import type { FlowTotal, FlowTotals } from './flow-totals.ts'

type Policies = Pick<Tables, 'policies'>

/** What a packet's verdict says about its path between nodes. */
const pathOfVerdict: ReadonlyMap<string, Readonly<Record<'direction' | 'path', string>>> = new Map([
  ['SENT_TO_HOLDER', { direction: 'outward', path: 'tunnel' }],
  ['SENT_TO_HOLDER_BY_LINK', { direction: 'outward', path: 'link' }],
  ['SENT_TO_OWNER', { direction: 'return', path: 'tunnel' }],
  ['SENT_TO_OWNER_BY_LINK', { direction: 'return', path: 'link' }],
])

function pathPackets(datapath: Datapath): readonly Value[] {
  return datapath.counts().flatMap(({ verdict, packets }): Value[] => {
    const labels = pathOfVerdict.get(verdict)
    return labels === undefined ? [] : [[labels, Number(packets)]]
  })
}

/** Packets by what became of them, and what the flows of each policy add up to. */
export function defineTraffic(
  { counter, gauge }: Definitions,
  datapath: Datapath,
  flows: Pick<FlowTotals, 'reading'>,
  tables: () => Policies | undefined,
): void {
  const perFlow = (read: (total: FlowTotal) => readonly Value[]) => (): readonly Value[] =>
    flows.reading.totals.flatMap((total) => {
      const labels = labelsOf(total, tables())
      if (labels === undefined) return []
      return read(total).map(([more, value]): Value => [{ ...labels, ...more }, value])
    })
  const labels = ['policy', 'egress_ip']
  counter('sallyport_packets_total', 'Packets by program and final verdict.', ['program', 'verdict'], () =>
    datapath
      .counts()
      .map(({ program, verdict, packets }) => [{ program: program.toLowerCase(), verdict }, Number(packets)]),
  )
  counter(
    'sallyport_path_packets_total',
    'Packets that this node sent to gateways (outward) or to nodes of pods (return), by path: link or tunnel.',
    ['direction', 'path'],
    () => pathPackets(datapath),
  )
  counter(
    'sallyport_refused_flows_total',
    'Dropped packets of new flows by policy, egress IP and verdict. The egress IP is empty if none was chosen.',
    [...labels, 'verdict'],
    () => refusedFlows(datapath, tables()),
  )
  gauge(
    'sallyport_flows',
    'Flows of this node’s pods in the table by policy and egress IP, including expired ones. Both labels are empty for traffic that no policy selects.',
    labels,
    perFlow(({ open }) => [[{}, open]]),
  )
  counter(
    'sallyport_flows_opened_total',
    'Flows that pods of this node have opened, by policy and egress IP.',
    labels,
    perFlow(({ opened }) => [[{}, opened]]),
  )
  counter(
    'sallyport_flow_packets_total',
    'Packets of flows by policy, egress IP and direction: out of the pod, or in to it.',
    [...labels, 'direction'],
    perFlow(({ packetsOut, packetsIn }) => both(packetsOut, packetsIn)),
  )
  counter(
    'sallyport_flow_bytes_total',
    'Bytes of flows by policy, egress IP and direction, with all headers of the frame at the pod.',
    [...labels, 'direction'],
    perFlow(({ bytesOut, bytesIn }) => both(bytesOut, bytesIn)),
  )
  gauge(
    'sallyport_mappings',
    'Mappings (translated flows) in the table of this node, including expired ones.',
    [],
    () => [[{}, flows.reading.entries]],
  )
  gauge('sallyport_mappings_limit', 'Maximum number of mappings in the table of this node.', [], () => [
    [{}, datapath.tables.mappings.raw.maxEntries],
  ])
}

const both = (out: number, inward: number): readonly Value[] => [
  [{ direction: 'out' }, out],
  [{ direction: 'in' }, inward],
]

/** Undefined for a policy that is deleted. */
function labelsOf({ policy: id, egressIp }: FlowTotal, tables: Policies | undefined): Value[0] | undefined {
  if (id === 0n) return { policy: '', egress_ip: '' }
  const policy = tables?.policies.get(id)
  return policy && { policy: `${policy.kind}/${policy.name}`, egress_ip: egressIp }
}

function refusedFlows(datapath: Datapath, tables: Policies | undefined): readonly Value[] {
  return [...datapath.tables.policy_drops.entries()].flatMap(
    ([{ policy: id, egress_ip, verdict }, count]): Value[] => {
      const policy = tables?.policies.get(id)
      if (policy === undefined) return [] /* no policy was involved, or it is deleted */
      const address = egress_ip === '::' ? '' : egress_ip
      return [[{ policy: `${policy.kind}/${policy.name}`, egress_ip: address, verdict }, Number(count)]]
    },
  )
}
