import type { FlowKey } from '../../datapath/tables/flow-tables.ts'
import type { FlowEnd } from '../../datapath/tables/observation-tables.ts'
import { endText } from '../../net/address.ts'
import type { FlowRecord } from '../api/nat-log/nat-log-row.ts'
import { protocolName } from '../api/views.ts'
import type { Names } from './names.ts'

/** Which policies' flows have records, and whether the records have destinations. */
interface NatLogScope {
  readonly policies: 'all' | 'annotated'
  readonly destinations: boolean
}

/** The same moment on two clocks. */
export interface Moment {
  readonly nowNs: bigint
  readonly nowMs: number
}

type Ended = Omit<FlowEnd, 'flow' | 'state' | 'ended_ns'> & { readonly ended_ns?: bigint }

interface RecordParts {
  readonly node: string
  readonly names: Pick<Names, 'pod' | 'policy'>
  readonly scope: NatLogScope
  readonly moment: Moment
}

/** The record of an ended or open flow. Undefined if the NAT log leaves the flow's policy out. */
export function describeFlow(flow: FlowKey, mapping: Ended, parts: RecordParts): FlowRecord | undefined {
  const { node, names, scope, moment } = parts
  const policy = names.policy(mapping.policy)
  const choice = policy?.natLog ?? (scope.policies === 'all' ? 'on' : 'off')
  if (choice === 'off') return undefined
  const pod = names.pod(flow.source, mapping.created_ns)
  const timeOf = (ns: bigint): string => timeText(ns, moment)
  const { last_inward_ns: inward, last_outward_ns: outward } = mapping
  const hasDestination = scope.destinations || choice === 'destinations'
  return {
    kind: 'flow',
    id: `${mapping.created_ns.toString(36)}.${mapping.egress_port}`,
    node,
    ...(pod === undefined ? {} : { namespace: pod.namespace, pod: pod.name }),
    ...(policy === undefined ? {} : { policy: policy.name }),
    protocol: protocolName(flow.protocol),
    source: endText(flow.source, flow.source_port),
    egressIP: mapping.egress_ip,
    egressPort: mapping.egress_port,
    ...(hasDestination ? { destination: endText(flow.destination, flow.destination_port) } : {}),
    begin: timeOf(mapping.created_ns),
    lastPacket: timeOf(later(inward, outward)),
    ...(mapping.ended_ns === undefined ? {} : { end: timeOf(mapping.ended_ns) }),
    packetsOut: Number(mapping.packets_out),
    packetsIn: Number(mapping.packets_in),
    bytesOut: Number(mapping.bytes_out),
    bytesIn: Number(mapping.bytes_in),
  }
}

const timeText = (ns: bigint, { nowNs, nowMs }: Moment): string =>
  new Date(nowMs - Number(nowNs - ns) / 1e6).toISOString()

function later(a: bigint, b: bigint): bigint {
  if (a > b) return a
  return b
}
