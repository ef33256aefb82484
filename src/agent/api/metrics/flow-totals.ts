import type { Datapath } from '../../../datapath/datapath.ts'
import type { StructLayout } from '../../../datapath/layout/btf.ts'
import { offsetOf } from '../../../datapath/layout/field-offset.ts'
import { readInTurns } from '../../../datapath/maps/turn.ts'
import { type Address, addressFromBytes } from '../../../net/address.ts'
import type { Clock } from '../../../runtime/clock.ts'

/** Entries before the process gets a turn: about 2 ms. */
const perTurn = 1024
/** Reading the table takes at most a tenth of the time. A node can have half a million flows. */
const pauseFactor = 9

/** What the flows of a policy with an egress IP add up to, since the tables were created. */
export interface FlowTotal extends Sums {
  /** 0n: traffic that no policy selects. */
  readonly policy: bigint
  readonly egressIp: Address
}

interface Sums {
  open: number
  opened: number
  packetsOut: number
  packetsIn: number
  bytesOut: number
  bytesIn: number
}

/** The state of the table at the last reading. */
interface FlowReading {
  readonly entries: number
  readonly totals: readonly FlowTotal[]
  /** By egress IP, how many ports at least one flow has. */
  readonly portsUsed: ReadonlyMap<Address, number>
}

/**
 * Adds up what the mappings count, so that the programs need not count anything twice. Counts of deleted mappings are in the
 * table `ended_flows`, which is read first: a mapping that is deleted during a reading is missing in that reading, and never
 * counted twice. Sums never go back, because Prometheus takes that for a restart.
 */
export class FlowTotals {
  readonly #datapath: Datapath
  readonly #clock: Clock
  readonly #highest = new Map<string, Sums>()
  #reading: FlowReading = { entries: 0, totals: [], portsUsed: new Map() }
  #running: Promise<void> | undefined
  #dueMs = Number.NEGATIVE_INFINITY

  constructor(datapath: Datapath, clock: Clock) {
    this.#datapath = datapath
    this.#clock = clock
  }

  get reading(): FlowReading {
    return this.#reading
  }

  /** Reads the table again. The last reading remains valid for nine times as long as it took. */
  refresh(): Promise<void> {
    if (this.#clock.monotonicMs() < this.#dueMs) return Promise.resolve()
    this.#running ??= this.#read().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #read(): Promise<void> {
    const startMs = this.#clock.monotonicMs()
    const sums = this.#ended()
    const used = new Map<string, Uint8Array>()
    const fields = fieldsOf(this.#datapath.btf.struct('mapping'))
    let entries = 0
    for await (const some of readInTurns(this.#datapath.tables.mappings.raw, perTurn)) {
      for (const [, value] of some) addMapping(sums, used, fields, value)
      entries += some.length
    }
    this.#reading = { entries, totals: this.#totalsOf(sums), portsUsed: countPorts(used) }
    const nowMs = this.#clock.monotonicMs()
    this.#dueMs = nowMs + pauseFactor * (nowMs - startMs)
  }

  #ended(): Map<string, Sums> {
    const sums = new Map<string, Sums>()
    for (const [{ policy, egress_ip }, ended] of this.#datapath.tables.ended_flows.entries()) {
      const key = this.#datapath.tables.ended_flows.key.encode({ policy, egress_ip }).toString('latin1')
      sums.set(key, {
        open: 0,
        opened: Number(ended.flows),
        packetsOut: Number(ended.packets_out),
        packetsIn: Number(ended.packets_in),
        bytesOut: Number(ended.bytes_out),
        bytesIn: Number(ended.bytes_in),
      })
    }
    return sums
  }

  #totalsOf(sums: ReadonlyMap<string, Sums>): readonly FlowTotal[] {
    const { key: keys } = this.#datapath.tables.ended_flows
    for (const known of this.#highest.keys()) if (!sums.has(known)) this.#highest.delete(known)
    return [...sums].map(([key, sum]) => {
      const { policy, egress_ip: egressIp } = keys.decode(Buffer.from(key, 'latin1'))
      const highest = higher(this.#highest.get(key), sum)
      this.#highest.set(key, highest)
      return { policy, egressIp, ...highest }
    })
  }
}

/** The bytes are read in place: decoding a whole mapping takes ten times as long. */
function addMapping(sums: Map<string, Sums>, used: Map<string, Uint8Array>, at: Fields, value: Buffer): void {
  const isMasqueraded = value.readUInt8(at.masqueraded) !== 0
  const egressIp = value.toString('latin1', at.egress_ip, at.egress_ip + addressBytes)
  const key = isMasqueraded
    ? noPolicy
    : value.toString('latin1', at.policy, at.policy + policyBytes) + egressIp
  let sum = sums.get(key)
  if (sum === undefined) {
    sum = { open: 0, opened: 0, packetsOut: 0, packetsIn: 0, bytesOut: 0, bytesIn: 0 }
    sums.set(key, sum)
  }
  sum.open++
  sum.opened++
  sum.packetsOut += readCount(value, at.packets_out)
  sum.packetsIn += readCount(value, at.packets_in)
  sum.bytesOut += readCount(value, at.bytes_out)
  sum.bytesIn += readCount(value, at.bytes_in)
  if (isMasqueraded) return
  let ports = used.get(egressIp)
  if (ports === undefined) {
    ports = new Uint8Array(0x10000)
    used.set(egressIp, ports)
  }
  ports[value.readUInt16BE(at.egress_port)] = 1
}

const addressBytes = 16
const policyBytes = 8
const noPolicy = '\0'.repeat(policyBytes + addressBytes)

function higher(before: Sums | undefined, now: Sums): Sums {
  if (before === undefined) return now
  return {
    open: now.open,
    opened: Math.max(before.opened, now.opened),
    packetsOut: Math.max(before.packetsOut, now.packetsOut),
    packetsIn: Math.max(before.packetsIn, now.packetsIn),
    bytesOut: Math.max(before.bytesOut, now.bytesOut),
    bytesIn: Math.max(before.bytesIn, now.bytesIn),
  }
}

function countPorts(used: ReadonlyMap<string, Uint8Array>): ReadonlyMap<Address, number> {
  return new Map(
    [...used].map(([address, ports]) => [
      addressFromBytes(Buffer.from(address, 'latin1')),
      ports.reduce((sum, port) => sum + port, 0),
    ]),
  )
}

/** A count below 2^53. */
function readCount(value: Buffer, at: number): number {
  return value.readUInt32LE(at) + value.readUInt32LE(at + 4) * 2 ** 32
}

const fieldNames = [
  'policy',
  'egress_ip',
  'egress_port',
  'masqueraded',
  'packets_out',
  'packets_in',
  'bytes_out',
  'bytes_in',
] as const
type Fields = Readonly<Record<(typeof fieldNames)[number], number>>

function fieldsOf(mapping: StructLayout): Fields {
  return Object.fromEntries(fieldNames.map((name) => [name, offsetOf(mapping, name)])) as Fields
}
