import type { Datapath } from '../../../datapath/datapath.ts'
import { readInTurns } from '../../../datapath/maps/turn.ts'
import type { FlowKey, Mapping } from '../../../datapath/tables/flow-tables.ts'
import type { Tables } from '../../../decide/tables.ts'
import type { WorldPod } from '../../../decide/world.ts'
import { type Address, endText, parseAddress } from '../../../net/address.ts'
import { contains, type Prefix, parsePrefix } from '../../../net/prefix.ts'
import type { Attachment } from '../../pods/attachments.ts'
import { HttpError } from '../http-error.ts'
import { protocolName } from '../views.ts'
import { type FlowQuery, type FlowRow, flowOrders } from './flow-row.ts'

/** Entries before the process gets a turn: about 2 ms. */
const perTurn = 256
/** As many as a terminal shows. A table can have half a million. */
const defaultLimit = 1000
const maxTop = 1000

interface FlowParts {
  readonly node: string
  readonly datapath: Datapath
  readonly tables: Pick<Tables, 'policies'> | undefined
  readonly attachments: readonly Attachment[]
  readonly pods: readonly Pick<WorldPod, 'namespace' | 'name' | 'labels'>[]
  /** The same moment on two clocks. */
  readonly nowNs: bigint
  readonly nowMs: number
}

/**
 * The flows of this node's pods, live from the mappings. The table is read in batches, with a turn for the process between them, and
 * only so many rows are kept as the query wants. Throws at once if the query cannot be read.
 */
export function readFlows(parts: FlowParts, query: FlowQuery): AsyncGenerator<FlowRow> {
  const rows = rowsOf(parts, describeFlows(parts), readQuery(query))
  const limit = readLimit(query.limit)
  const order = flowOrders.find((each) => each === query.top)
  return order === undefined ? firstOf(limit, rows) : topOf(order, Math.min(limit, maxTop), rows)
}

async function* firstOf(limit: number, rows: AsyncIterable<FlowRow>): AsyncGenerator<FlowRow> {
  let count = 0
  for await (const row of rows) {
    yield row
    if (++count >= limit) return
  }
}

async function* rowsOf(
  { datapath }: FlowParts,
  rowOf: (flow: FlowKey, mapping: Mapping) => FlowRow,
  matches: (row: FlowRow, flow: FlowKey, mapping: Mapping) => boolean,
): AsyncGenerator<FlowRow> {
  const { key, value, raw } = datapath.tables.mappings
  for await (const some of readInTurns(raw, perTurn))
    for (const [keyBytes, valueBytes] of some) {
      const [flow, mapping] = [key.decode(keyBytes), value.decode(valueBytes)]
      if (mapping.reclaimed) continue
      const row = rowOf(flow, mapping)
      if (matches(row, flow, mapping)) yield row
    }
}

function readLimit(text: string | undefined): number {
  const limit = text === undefined ? defaultLimit : Number(text)
  if (!Number.isInteger(limit) || limit < 1)
    throw new HttpError(400, `limit ${text} is not a positive number`)
  return limit
}

function readQuery(query: FlowQuery): (row: FlowRow, flow: FlowKey, mapping: Mapping) => boolean {
  const egressIp =
    query.egressIp === undefined ? undefined : parsed(query.egressIp, parseAddress, 'an IP address')
  const to = query.to === undefined ? undefined : parsed(query.to, asPrefix, 'an IP address or prefix')
  const { pod, policy, state, egressPort, toPort } = query
  return (row, flow, mapping) =>
    (egressIp === undefined || row.egressIp === egressIp) &&
    (egressPort === undefined || mapping.egress_port === Number(egressPort)) &&
    (to === undefined || contains(to, flow.destination)) &&
    (toPort === undefined || flow.destination_port === Number(toPort)) &&
    (pod === undefined || row.pod === pod || `${row.namespace}/${row.pod}` === pod) &&
    (policy === undefined || row.policy === policy) &&
    (state === undefined || row.flow?.state === state)
}

function asPrefix(text: string): Prefix | undefined {
  return parsePrefix(text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`)
}

function parsed<T>(text: string, parse: (text: string) => T | undefined, what: string): T {
  const value = parse(text)
  if (value === undefined) throw new HttpError(400, `${text} is not ${what}`)
  return value
}

function describeFlows(parts: FlowParts): (flow: FlowKey, mapping: Mapping) => FlowRow {
  const { node, tables, attachments, nowNs, nowMs } = parts
  const podByAddress = new Map<Address, Attachment>(
    attachments.flatMap((each) => each.addresses.map((address) => [address, each] as const)),
  )
  const labelsOf = new Map(parts.pods.map(({ namespace, name, labels }) => [`${namespace}/${name}`, labels]))
  const msOf = (ns: bigint): number => nowMs - Number((nowNs - ns) / 1_000_000n)
  const timeOf = (ms: number): string => new Date(ms).toISOString()
  return (flow, mapping) => {
    const found = podByAddress.get(flow.source)
    const pod = found !== undefined && found.sinceNs <= mapping.created_ns ? found.pod : undefined
    const policy = mapping.masqueraded ? undefined : tables?.policies.get(mapping.policy)?.name
    const labels = pod && labelsOf.get(`${pod.namespace}/${pod.name}`)
    const lastMs = Math.max(msOf(mapping.last_inward_ns), msOf(mapping.last_outward_ns))
    return {
      node,
      ...(pod === undefined ? {} : { namespace: pod.namespace, pod: pod.name }),
      ...(labels === undefined ? {} : { labels }),
      egressIp: mapping.egress_ip,
      ...(policy === undefined ? {} : { policy }),
      connections: 1,
      packetsOut: Number(mapping.packets_out),
      packetsIn: Number(mapping.packets_in),
      bytesOut: Number(mapping.bytes_out),
      bytesIn: Number(mapping.bytes_in),
      flow: {
        protocol: protocolName(flow.protocol),
        source: endText(flow.source, flow.source_port),
        egress: endText(mapping.egress_ip, mapping.egress_port),
        destination: endText(flow.destination, flow.destination_port),
        state: stateOf(flow.protocol, mapping.state),
        since: timeOf(msOf(mapping.created_ns)),
        lastPacket: timeOf(lastMs),
      },
    }
  }
}

function stateOf(protocol: number, state: Mapping['state']): NonNullable<FlowRow['flow']>['state'] {
  const has = (...names: readonly string[]): boolean => names.some((name) => state.includes(name))
  const tcp = 6
  if (protocol !== tcp) return has('STATE_REPLIED') ? 'replied' : 'unanswered'
  if (has('STATE_RESET')) return 'reset'
  if (has('STATE_FIN_OUT_ACKED') && has('STATE_FIN_IN_ACKED')) return 'closed'
  if (has('STATE_FIN_OUT', 'STATE_FIN_IN')) return 'closing'
  return has('STATE_ESTABLISHED') ? 'established' : 'opening'
}

const sizeIn = {
  bytes: ({ bytesOut, bytesIn }: FlowRow) => bytesOut + bytesIn,
  packets: ({ packetsOut, packetsIn }: FlowRow) => packetsOut + packetsIn,
  connections: ({ connections }: FlowRow) => connections,
} as const

/** Keeps only so many rows at a time as the answer has, or one for each pod and egress IP. */
async function* topOf(
  order: keyof typeof sizeIn,
  limit: number,
  rows: AsyncIterable<FlowRow>,
): AsyncGenerator<FlowRow> {
  const size = sizeIn[order]
  const best = (of: readonly FlowRow[]): FlowRow[] => of.toSorted((a, b) => size(b) - size(a)).slice(0, limit)
  if (order === 'connections') return yield* best(await sumsOf(rows))
  let kept: FlowRow[] = []
  for await (const row of rows) {
    kept.push(row)
    if (kept.length >= 2 * limit) kept = best(kept)
  }
  yield* best(kept)
}

async function sumsOf(rows: AsyncIterable<FlowRow>): Promise<FlowRow[]> {
  const sums = new Map<string, FlowRow>()
  for await (const { flow: _, ...row } of rows) {
    const key = `${row.namespace}/${row.pod} ${row.egressIp} ${row.policy}`
    const sum = sums.get(key)
    sums.set(key, sum === undefined ? row : added(sum, row))
  }
  return [...sums.values()]
}

function added(a: FlowRow, b: FlowRow): FlowRow {
  return {
    ...a,
    connections: a.connections + b.connections,
    packetsOut: a.packetsOut + b.packetsOut,
    packetsIn: a.packetsIn + b.packetsIn,
    bytesOut: a.bytesOut + b.bytesOut,
    bytesIn: a.bytesIn + b.bytesIn,
  }
}

/** Which node may use the port of the address, by the table that gateways use. */
export function ownerOf(
  tables: Pick<Tables, 'egressIps' | 'nodes' | 'self'>,
  address: Address,
  port: number,
): { readonly isEgressIp: boolean; readonly node?: string } {
  const owner = tables.egressIps.get(address)?.blockOwner[port >> 4]
  const isEgressIp = tables.egressIps.has(address)
  if (owner === undefined || owner === 'stack') return { isEgressIp }
  const found = [...tables.nodes].find(([tunnelAddress, { slot }]) =>
    owner === 'self' ? tunnelAddress === tables.self.tunnelAddress : slot === owner,
  )
  return { isEgressIp, ...(found === undefined ? {} : { node: found[1].name }) }
}
