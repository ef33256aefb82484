import { type Address, addressBytes, familyOf } from '../../net/address.ts'

/*
 * Messages of IPFIX (RFC 7011) with the NAT events of RFC 8158. There are four templates and no options, so the encoder is this
 * file. The elements have the numbers of IANA's registry.
 */

/** What a data record carries. */
export interface NatEvent {
  readonly endMs: number
  readonly beginMs: number
  readonly lastPacketMs: number
  /** IPPROTO_*. */
  readonly protocol: number
  readonly source: Address
  readonly sourcePort: number
  readonly egressIp: Address
  readonly egressPort: number
  readonly destination?: { readonly address: Address; readonly port: number }
  readonly packetsOut: bigint
  readonly packetsIn: bigint
  readonly bytesOut: bigint
  readonly bytesIn: bigint
  /** `namespace/name`. Empty if it is not known. */
  readonly pod: string
}

/**
 * NAT44 session delete. RFC 8158 has no event for a translation from IPv6 to IPv6, so such a flow has the earlier and more
 * general "NAT translation delete".
 */
const natEvents = { 4: 5, 6: 2 } as const

type Field = readonly [element: number, length: number, enterprise?: number]

/** RFC 5103: the same element in the other direction. */
const reverse = 29305
const variableLength = 65535

function fieldsOf(family: 4 | 6, hasDestination: boolean): readonly Field[] {
  const length = family === 4 ? 4 : 16
  const [source, postNatSource, destination] = family === 4 ? [8, 225, 12] : [27, 281, 28]
  return [
    [323, 8], // observationTimeMilliseconds
    [230, 1], // natEvent
    [4, 1], // protocolIdentifier
    [source ?? 0, length],
    [7, 2], // sourceTransportPort
    [postNatSource ?? 0, length],
    [227, 2], // postNAPTSourceTransportPort
    ...(hasDestination
      ? ([
          [destination ?? 0, length],
          [11, 2],
        ] as const)
      : []), // destinationTransportPort
    [152, 8], // flowStartMilliseconds
    [153, 8], // flowEndMilliseconds
    [2, 8], // packetDeltaCount
    [1, 8], // octetDeltaCount
    [2, 8, reverse],
    [1, 8, reverse],
    [350, variableLength], // virtualStationName
  ]
}

const templates = (
  [
    [4, false],
    [4, true],
    [6, false],
    [6, true],
  ] as const
).map(([family, hasDestination], index) => ({ id: 256 + index, fields: fieldsOf(family, hasDestination) }))

function templateId({ egressIp, destination }: NatEvent): number {
  return 256 + (familyOf(egressIp) === 4 ? 0 : 2) + (destination === undefined ? 0 : 1)
}

const templateSetId = 2
const headerLength = 16
const setHeaderLength = 4

/** What fits into a packet on any path that carries 1,400 bytes: a datagram in pieces is often lost. */
const maxMessageLength = 1372

const number = (value: number, length: 1 | 2 | 4): Buffer => {
  const bytes = Buffer.alloc(length)
  bytes.writeUIntBE(value, 0, length)
  return bytes
}
const long = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value))
  return bytes
}
const milliseconds = (ms: number): Buffer => long(BigInt(Math.round(ms)))

/** An IPv4 address is in its four bytes. */
function addressOf(address: Address): Buffer {
  const bytes = Buffer.from(addressBytes(address))
  return familyOf(address) === 4 ? bytes.subarray(-4) : bytes
}

/** RFC 7011, section 7. The name of a pod has at most 317 characters, so the long form is possible. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return bytes.length < 255
    ? Buffer.concat([number(bytes.length, 1), bytes])
    : Buffer.concat([number(255, 1), number(bytes.length, 2), bytes])
}

function encodeRecord(event: NatEvent): Buffer {
  const { destination } = event
  return Buffer.concat([
    milliseconds(event.endMs),
    number(natEvents[familyOf(event.egressIp)], 1),
    number(event.protocol, 1),
    addressOf(event.source),
    number(event.sourcePort, 2),
    addressOf(event.egressIp),
    number(event.egressPort, 2),
    ...(destination === undefined ? [] : [addressOf(destination.address), number(destination.port, 2)]),
    milliseconds(event.beginMs),
    milliseconds(event.lastPacketMs),
    long(event.packetsOut),
    long(event.bytesOut),
    long(event.packetsIn),
    long(event.bytesIn),
    text(event.pod),
  ])
}

function encodeTemplates(): Buffer {
  return encodeSet(
    templateSetId,
    templates.map(({ id, fields }) =>
      Buffer.concat([number(id, 2), number(fields.length, 2), ...fields.map(encodeField)]),
    ),
  )
}

function encodeField([element, length, enterprise]: Field): Buffer {
  if (enterprise === undefined) return Buffer.concat([number(element, 2), number(length, 2)])
  return Buffer.concat([number(element | 0x8000, 2), number(length, 2), number(enterprise, 4)])
}

function encodeSet(id: number, records: readonly Buffer[]): Buffer {
  const body = Buffer.concat(records)
  return Buffer.concat([number(id, 2), number(setHeaderLength + body.length, 2), body])
}

/** Gathers records and gives messages that each fit into a datagram. */
export class IpfixMessages {
  readonly #domain: number
  /** By template. */
  #waiting = new Map<number, Buffer[]>()
  #length = headerLength
  /** Data records in all messages before. */
  #sequence = 0
  #needsTemplates = true

  constructor(domain: number) {
    this.#domain = domain
  }

  /** A collector on UDP may have missed the templates, or have been started since (RFC 7011, section 8.4). */
  repeatTemplates(): void {
    this.#needsTemplates = true
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0
  }

  /** Returns the message before this record, if the record does not fit into it. */
  add(event: NatEvent, now: Date): Buffer | undefined {
    const record = encodeRecord(event)
    const id = templateId(event)
    const before = this.#needsTemplates ? encodeTemplates().length : 0
    const more = record.length + (this.#waiting.has(id) ? 0 : setHeaderLength)
    const isFull = !this.isEmpty && this.#length + before + more > maxMessageLength
    const full = isFull ? this.take(now) : undefined
    const records = this.#waiting.get(id) ?? []
    this.#length += record.length + (records.length === 0 ? setHeaderLength : 0)
    records.push(record)
    this.#waiting.set(id, records)
    return full
  }

  take(now: Date): Buffer {
    const sets = [...this.#waiting].map(([id, records]) => encodeSet(id, records))
    const body = Buffer.concat([...(this.#needsTemplates ? [encodeTemplates()] : []), ...sets])
    const header = Buffer.concat([
      number(10, 2),
      number(headerLength + body.length, 2),
      number(Math.floor(now.getTime() / 1000) >>> 0, 4),
      number(this.#sequence, 4),
      number(this.#domain, 4),
    ])
    for (const records of this.#waiting.values()) this.#sequence += records.length
    this.#sequence %= 2 ** 32
    this.#needsTemplates = false
    this.#waiting = new Map()
    this.#length = headerLength
    return Buffer.concat([header, body])
  }
}
