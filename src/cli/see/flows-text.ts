import type { FlowRow } from '../../agent/api/flows/flow-row.ts'
import { formatColumns } from '../columns.ts'

const header = [
  'Node',
  'Pod',
  'Protocol',
  'Egress',
  'Destination',
  'Policy',
  'State',
  'Since',
  'Packets',
  'Bytes',
]

/** One row for each flow. */
export function formatFlows(rows: readonly FlowRow[]): string {
  return formatColumns([
    header,
    ...rows.map((row) => [
      row.node,
      podText(row),
      row.flow?.protocol ?? '',
      row.flow?.egress ?? row.egressIp,
      row.flow?.destination ?? '',
      row.policy ?? '-',
      row.flow?.state ?? '',
      row.flow?.since.replace(/\.\d+Z$/, 'Z') ?? '',
      String(row.packetsOut + row.packetsIn),
      String(row.bytesOut + row.bytesIn),
    ]),
  ])
}

/** One row for each pod and egress IP. */
export function formatSums(rows: readonly FlowRow[]): string {
  return formatColumns([
    ['Node', 'Pod', 'Egress IP', 'Policy', 'Connections', 'Packets', 'Bytes'],
    ...rows.map((row) => [
      row.node,
      podText(row),
      row.egressIp,
      row.policy ?? '-',
      String(row.connections),
      String(row.packetsOut + row.packetsIn),
      String(row.bytesOut + row.bytesIn),
    ]),
  ])
}

function podText({ namespace, pod }: FlowRow): string {
  return pod === undefined ? 'deleted' : `${namespace}/${pod}`
}

const sizes = {
  bytes: ({ bytesOut, bytesIn }: FlowRow) => bytesOut + bytesIn,
  packets: ({ packetsOut, packetsIn }: FlowRow) => packetsOut + packetsIn,
  connections: ({ connections }: FlowRow) => connections,
} as const

/** The largest of all nodes. */
export function largest(
  rows: readonly FlowRow[],
  order: keyof typeof sizes,
  limit: number,
): readonly FlowRow[] {
  return rows.toSorted((a, b) => sizes[order](b) - sizes[order](a)).slice(0, limit)
}
