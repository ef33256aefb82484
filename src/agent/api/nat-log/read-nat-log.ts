import { createReadStream, existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Datapath } from '../../../datapath/datapath.ts'
import { readInTurns } from '../../../datapath/maps/turn.ts'
import type { Tables } from '../../../decide/tables.ts'
import type { NatLogSettings } from '../../../install/configuration.ts'
import { type Address, endText, parseAddress } from '../../../net/address.ts'
import type { Moment } from '../../nat-log/flow-record.ts'
import { logFiles } from '../../nat-log/log-file.ts'
import type { NatLog } from '../../nat-log/nat-log.ts'
import { HttpError } from '../http-error.ts'
import type { NatLogAnswer, NatLogCover, NatLogLine, NatLogQuery } from './nat-log-row.ts'

interface NatLogParts extends Moment {
  readonly node: string
  readonly datapath: Datapath
  readonly settings: NatLogSettings | undefined
  readonly log: NatLog | undefined
  readonly logDirectory: string
  readonly tables: Pick<Tables, 'policies'> | undefined
}

interface Wanted {
  readonly address: Address
  readonly port: number
  readonly fromMs: number
  readonly untilMs: number
  readonly to: Address | undefined
  readonly toPort: number | undefined
}

/**
 * What this node's log says about a port at a time: how far it reaches, the flows, and what it has lost then. Flows that are
 * open are not in the log yet, so the mappings are read, too. Throws at once if the query cannot be read.
 */
export function readNatLog(parts: NatLogParts, query: NatLogQuery): AsyncGenerator<NatLogAnswer> {
  return answer(parts, readQuery(query))
}

async function* answer(parts: NatLogParts, wanted: Wanted): AsyncGenerator<NatLogAnswer> {
  const { node, settings, logDirectory } = parts
  const files = logFiles(logDirectory, settings?.files ?? 0).filter((file) => existsSync(file))
  const since = await firstEnd(files.at(-1))
  yield {
    kind: 'cover',
    node,
    isOn: settings !== undefined && settings.files > 0,
    sampling: settings?.sampling ?? 1,
    ...(since === undefined ? {} : { since }),
  } satisfies NatLogCover
  /* First the open ones: one that ends meanwhile is in both, and none is in neither. */
  for await (const line of openFlows(parts, wanted)) if (matches(line, wanted)) yield line
  for (const file of files.toReversed())
    for await (const line of linesOf(file, wanted)) if (matches(line, wanted)) yield line
}

function readQuery({ address, port, at, to, toPort }: NatLogQuery): Wanted {
  const parsed = parseAddress(address ?? '')
  const fromMs = Date.parse(at ?? '')
  const destination = to === undefined ? undefined : parseAddress(to)
  if (parsed === undefined) throw new HttpError(400, `${address} is not an IP address`)
  if (Number.isNaN(fromMs)) throw new HttpError(400, `${at} is not a time`)
  if (to !== undefined && destination === undefined) throw new HttpError(400, `${to} is not an IP address`)
  /* A log of a server usually has seconds. */
  const untilMs = /\.\d+/.test(at ?? '') ? fromMs : fromMs + 999
  return {
    ...{ address: parsed, port: Number(port), fromMs, untilMs, to: destination },
    toPort: toPort === undefined ? undefined : Number(toPort),
  }
}

async function* linesOf(file: string, { address, port }: Wanted): AsyncGenerator<NatLogLine> {
  const part = `"egressIP":"${address}","egressPort":${port},`
  for await (const text of createInterface({
    input: createReadStream(file),
    crlfDelay: Number.POSITIVE_INFINITY,
  }))
    if (text.includes(part) || text.startsWith('{"kind":"loss"')) {
      const line = parse(text)
      if (line !== undefined) yield line
    }
}

/** The last line may be half written at this moment. */
function parse(text: string): NatLogLine | undefined {
  try {
    return JSON.parse(text) as NatLogLine
  } catch {
    return undefined
  }
}

async function firstEnd(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
  const input = createReadStream(file)
  try {
    for await (const text of createInterface({ input })) return parse(text)?.end
  } finally {
    input.destroy()
  }
  return undefined
}

function matches(line: NatLogLine, { fromMs, untilMs, address, port, to, toPort }: Wanted): boolean {
  const isThen =
    Date.parse(line.begin) <= untilMs && (line.end === undefined || Date.parse(line.end) >= fromMs)
  if (!isThen || line.kind === 'loss') return isThen
  if (line.egressIP !== address || line.egressPort !== port) return false
  /* A record without a destination can be the one. */
  if (to === undefined || line.destination === undefined) return true
  const destinationPort = Number(line.destination.split(':').at(-1))
  return line.destination === endText(to, toPort ?? destinationPort)
}

/** Entries before the process gets a turn: about 2 ms. */
const perTurn = 256

async function* openFlows(
  { datapath, log }: NatLogParts,
  { address, port }: Wanted,
): AsyncGenerator<NatLogLine> {
  if (log === undefined) return
  const { key, value, raw } = datapath.tables.mappings
  for await (const some of readInTurns(raw, perTurn))
    for (const [keyBytes, valueBytes] of some) {
      const mapping = value.decode(valueBytes)
      if (mapping.egress_ip !== address || mapping.egress_port !== port) continue
      if (mapping.reclaimed || mapping.masqueraded) continue
      const record = log.describe(key.decode(keyBytes), mapping)
      if (record !== undefined) yield record
    }
}
