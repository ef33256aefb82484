import { join } from 'node:path'
import type { Datapath } from '../../datapath/datapath.ts'
import type { RingReader } from '../../datapath/maps/ring-buffer.ts'
import type { FlowEnd } from '../../datapath/tables/observation-tables.ts'
import type { NatLogSettings } from '../../install/configuration.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import type { FlowRecord, LossReason, NatLogLine } from '../api/nat-log/nat-log-row.ts'
import { Collector } from './collector.ts'
import { describeFlow, type Moment } from './flow-record.ts'
import { LogFile } from './log-file.ts'
import { Losses } from './losses.ts'
import { Names } from './names.ts'
import { isSampled, RecordLimit } from './record-limit.ts'

export interface NatLogOptions {
  readonly self: string
  readonly datapath: Datapath
  readonly settings: NatLogSettings
  readonly clock: Clock
  readonly log: Logger
  /** Emptied by a boot. */
  readonly stateDirectory: string
  /** Kept over a boot. */
  readonly logDirectory: string
}

/** Records in one turn of the process: about 2 ms. */
const perTurn = 128
const tellLossesEveryMs = 10_000

export interface NatLogCounts {
  readonly records: number
  readonly lost: Readonly<Record<LossReason, number>>
}

/**
 * Writes each ended flow's record into the file and to the collector. The ring keeps a record until it is written, so a killed agent
 * loses none of the file. The one that was being written is in the ring and in the file; its id shows that.
 */
export class NatLog implements Disposable {
  readonly names: Names
  readonly #options: NatLogOptions
  readonly #reader: RingReader<FlowEnd>
  readonly #file: LogFile | undefined
  readonly #collector: Collector | undefined
  readonly #limit: RecordLimit
  readonly #losses = new Losses()
  readonly #stopTelling: () => void
  /** The last flow in the file. Undefined after the first record, which alone could be the same. */
  #lastId: string | undefined
  #moment: Moment
  #records = 0
  #toldAtMs: number
  #failure: unknown

  constructor(options: NatLogOptions) {
    const { self, datapath, settings, clock, stateDirectory, logDirectory } = options
    this.#options = options
    this.names = new Names(join(stateDirectory, 'nat-log-names.json'))
    if (settings.files > 0)
      this.#file = new LogFile({
        directory: logDirectory,
        files: settings.files,
        maxBytes: settings.fileMegabytes * 1e6,
      })
    const last = parseLine(this.#file?.lastLine())
    this.#lastId = last?.id
    if (settings.collector !== undefined)
      this.#collector = new Collector({
        node: self,
        ...settings.collector,
        clock,
        onLoss: (records, error) => this.#lose('collector', records, error),
      })
    this.#limit = new RecordLimit(settings.maxRecordsPerSecond, clock.monotonicMs())
    this.#moment = this.#now()
    this.#toldAtMs = last?.end === undefined ? this.#moment.nowMs : Date.parse(last.end)
    this.#reader = datapath.flowEnds((end) => this.#write(end))
    this.#stopTelling = clock.every(tellLossesEveryMs, () => this.tellLosses())
  }

  /** Call it when the names of present pods and policies are known. Before that, records stay in the ring. */
  start(): void {
    this.#reader.onReadable(() => this.#consume(perTurn))
  }

  /** Makes room in the ring, because the sweep ends thousands of flows in one turn of the process. */
  drain(): void {
    while (this.#consume(perTurn) === perTurn);
  }

  #consume(max: number): number {
    this.#moment = this.#now()
    return this.#reader.consume(max)
  }

  #now(): Moment {
    const { clock } = this.#options
    return { nowNs: clock.monotonicNs(), nowMs: new Date(clock.now()).getTime() }
  }

  get counts(): NatLogCounts {
    return { records: this.#records, lost: this.#losses.total }
  }

  /** As the log would have it, of a flow that is open. */
  describe(
    flow: FlowEnd['flow'],
    mapping: Omit<FlowEnd, 'flow' | 'state' | 'ended_ns'>,
  ): FlowRecord | undefined {
    return describeFlow(flow, mapping, { ...this.#parts(), moment: this.#now() })
  }

  #parts() {
    const { destinations, policies } = this.#options.settings
    const scope = { destinations, policies }
    return { node: this.#options.self, names: this.names, scope, moment: this.#moment }
  }

  #write(end: FlowEnd): void {
    if (!isSampled(end.created_ns, this.#options.settings.sampling)) return
    const record = describeFlow(end.flow, end, this.#parts())
    const lastId = this.#lastId
    this.#lastId = undefined
    if (record === undefined || record.id === lastId) return
    if (!this.#limit.take(this.#options.clock.monotonicMs())) {
      this.#losses.add('limit', this.#moment.nowMs)
      return
    }
    this.#records++
    this.#append(record)
    this.#collector?.add({
      ...{ endMs: ms(record.end), beginMs: ms(record.begin), lastPacketMs: ms(record.lastPacket) },
      ...{ protocol: end.flow.protocol, source: end.flow.source, sourcePort: end.flow.source_port },
      ...{ egressIp: end.egress_ip, egressPort: end.egress_port },
      ...(record.destination === undefined
        ? {}
        : { destination: { address: end.flow.destination, port: end.flow.destination_port } }),
      ...{ packetsOut: end.packets_out, packetsIn: end.packets_in },
      ...{ bytesOut: end.bytes_out, bytesIn: end.bytes_in },
      pod: record.pod === undefined ? '' : `${record.namespace}/${record.pod}`,
    })
  }

  #append(line: NatLogLine): void {
    try {
      this.#file?.append(JSON.stringify(line))
    } catch (error) {
      this.#lose('file', line.kind === 'flow' ? 1 : 0, error)
    }
  }

  #lose(reason: LossReason, records: number, error: unknown): void {
    this.#failure = error
    this.#losses.add(reason, this.#now().nowMs, records)
  }

  /** Says in the log of the agent and in the NAT log itself how many records are missing. */
  tellLosses(): void {
    const { datapath, self, log } = this.#options
    const { nowMs } = this.#now()
    const { lost_flow_ends: lost } = datapath.tables
    const all = lost.get(0) ?? 0n
    const more = Number(all - (lost.get(1) ?? 0n))
    if (more > 0) this.#losses.add('buffer', nowMs, more, this.#toldAtMs)
    this.#toldAtMs = nowMs
    for (const loss of this.#losses.take(self)) {
      const { reason, records } = loss
      log.warn({ reason, records, err: this.#failure, remedy: remedies[reason] }, 'the NAT log lost records')
      this.#append(loss)
    }
    if (more > 0) lost.set(1, all)
    this.#failure = undefined
  }

  [Symbol.dispose](): void {
    this.#stopTelling()
    this.#reader[Symbol.dispose]()
    this.tellLosses()
    this.#collector?.flush()
    this.#collector?.[Symbol.dispose]()
    this.#file?.[Symbol.dispose]()
  }
}

const remedies: Readonly<Record<LossReason, string>> = {
  buffer:
    'More flows ended at once than the node keeps for the agent. Log fewer policies, or set natLog.sampling.',
  limit: 'Raise natLog.maxRecordsPerSecond, log fewer policies, or set natLog.sampling.',
  file: 'Make room in /var/log/sallyport on the node, or lower natLog.fileSize and natLog.files.',
  collector: 'Check the address natLog.collector and the node’s route to it.',
}

const ms = (time: string | undefined): number => Date.parse(time ?? '')

function parseLine(line: string | undefined): { readonly id?: string; readonly end?: string } | undefined {
  try {
    return line === undefined ? undefined : (JSON.parse(line) as { readonly id?: string })
  } catch {
    return undefined
  }
}
