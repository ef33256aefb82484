import type {
  FlowRecord,
  LossRecord,
  NatLogAnswer,
  NatLogCover,
} from '../../agent/api/nat-log/nat-log-row.ts'
import { endText } from '../../net/address.ts'
import { formatColumns } from '../columns.ts'
import { UserError } from '../user-error.ts'
import type { ReachedAgent } from './agents.ts'
import type { End } from './ends.ts'
import { followAll } from './merged.ts'

interface Past {
  readonly flows: readonly FlowRecord[]
  /** Why the answer may lack flows. */
  readonly remarks: readonly string[]
}

/** Checks the time here, because all agents would refuse it. */
export function parseTime(text: string): string {
  if (/T.*(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text))) return text
  throw new UserError(
    `--at: ${text} is not a time with its zone: write, for example, 2026-11-30T14:02:00Z`,
    2,
  )
}

/** The flows that had the port at that time. Leases move blocks of ports from node to node, so this asks the log of each node. */
export async function whoWas(
  agents: readonly ReachedAgent[],
  { address, port }: End,
  at: string,
  to: End | undefined,
  onFailure: (node: string, error: unknown) => void,
): Promise<Past> {
  const query = new URLSearchParams({ address, port: String(port), at })
  if (to !== undefined) query.set('to', to.address)
  if (to?.port !== undefined) query.set('toPort', String(to.port))
  const flows = new Map<string, FlowRecord>()
  const remarks: string[] = []
  const path = `/v1/nat-log?${query}`
  for await (const line of followAll<NatLogAnswer>(agents, path, { isEndless: false, onFailure })) {
    if (line.kind === 'cover') remarks.push(...remarksOf(line, Date.parse(at)))
    else if (line.kind === 'loss') remarks.push(describeLoss(line))
    else {
      const key = `${line.node} ${line.id} ${line.begin}`
      if (line.end !== undefined || !flows.has(key)) flows.set(key, line)
    }
  }
  return {
    flows: [...flows.values()].toSorted((a, b) => (a.begin < b.begin ? -1 : a.begin > b.begin ? 1 : 0)),
    remarks,
  }
}

function remarksOf({ node, isOn, sampling, since }: NatLogCover, atMs: number): readonly string[] {
  if (!isOn) return [`Node ${node} keeps no NAT log. Set natLog.enabled=true for the next time.`]
  return [
    ...(sampling > 1 ? [`The log of node ${node} has one in ${sampling} flows.`] : []),
    ...(since !== undefined && Date.parse(since) > atMs
      ? [`The log of node ${node} has no flow that ended before ${since}.`]
      : []),
  ]
}

const describeLoss = ({ node, reason, records, begin, end }: LossRecord): string =>
  `The log of node ${node} lacks ${records} records of flows that ended from ${begin} to ${end} (${reason}).`

export function formatPast(flows: readonly FlowRecord[]): string {
  return formatColumns([
    ['Node', 'Pod', 'Protocol', 'Egress', 'Destination', 'Policy', 'Begin', 'End', 'Packets', 'Bytes'],
    ...flows.map((flow) => [
      flow.node,
      flow.pod === undefined ? `- (${flow.source})` : `${flow.namespace}/${flow.pod}`,
      flow.protocol,
      endText(flow.egressIP, flow.egressPort),
      flow.destination ?? '-',
      flow.policy ?? '-',
      flow.begin,
      flow.end ?? 'open',
      String(flow.packetsOut + flow.packetsIn),
      String(flow.bytesOut + flow.bytesIn),
    ]),
  ])
}
