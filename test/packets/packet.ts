import { type Address, addressBytes, parseAddress } from '../../src/net/address.ts'
import { macBytes } from '../../src/net/mac.ts'
import { checksum, pseudoHeader } from './checksum.ts'

/**
 * Packets as a test reads them: `ipv4('10.244.1.7', '203.0.113.9').tcp(40000, 443, { flags: ['SYN'] })`. What comes
 * out is an Ethernet frame with every length and checksum right, unless a field says otherwise.
 */
export const protocolNumber = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  icmp6: 58,
  gre: 47,
  fragment: 44,
  sctp: 132,
} as const

export type TcpFlag = 'FIN' | 'SYN' | 'RST' | 'PSH' | 'ACK'
export const tcpFlagBits: Readonly<Record<TcpFlag, number>> = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16 }

export interface TcpFields {
  readonly flags?: readonly TcpFlag[]
  readonly sequence?: number
  readonly acknowledged?: number
  readonly mss?: number
  /** Raw options in front of the MSS; padded to four bytes. */
  readonly options?: Buffer
  readonly payload?: Buffer | string
}

export interface IpFields {
  readonly timeToLive?: number
  readonly dontFragment?: boolean
  /** IPv4 options, or IPv6 extension headers that are already encoded, with the protocol that starts them. */
  readonly options?: Buffer
  readonly extension?: { readonly protocol: number; readonly bytes: Buffer }
  readonly fragment?: { readonly id: number; readonly offset: number; readonly hasMore: boolean }
}

export interface Transports {
  tcp(sourcePort: number, destinationPort: number, fields?: TcpFields): Buffer
  /** `hasChecksum: false` is allowed in IPv4 only. */
  udp(sourcePort: number, destinationPort: number, payload?: Buffer | string, hasChecksum?: boolean): Buffer
  echo(kind: 'request' | 'reply', identifier: number, payload?: Buffer | string): Buffer
  /** About `frame`, which this packet's destination had sent; the quote ends after `quoted` bytes of its IP packet. */
  error(kind: 'unreachable' | 'tooBig' | 'timeExceeded', frame: Buffer, quoted?: number): Buffer
  /** Any protocol, any bytes. */
  raw(protocol: number, payload: Buffer): Buffer
}

const ethernet = Buffer.concat([macBytes('02:00:00:00:00:06'), macBytes('02:00:00:00:00:05')])
export const ethernetLength = 14

export function address(text: string): Address {
  const parsed = parseAddress(text)
  if (parsed === undefined) throw new Error(`${text} is no address`)
  return parsed
}

export function ipv4(source: string, destination: string, fields: IpFields = {}): Transports {
  const from = Buffer.from(addressBytes(address(source))).subarray(12)
  const to = Buffer.from(addressBytes(address(destination))).subarray(12)
  return transports(4, from, to, (protocol, payload) => {
    const options = padded(fields.options ?? Buffer.alloc(0))
    const header = Buffer.alloc(20 + options.length)
    header.writeUInt8(0x40 | (header.length / 4), 0)
    header.writeUInt16BE(header.length + payload.length, 2)
    header.writeUInt16BE(fields.fragment?.id ?? 0x1234, 4)
    header.writeUInt16BE(fragmentWord(fields), 6)
    header.writeUInt8(fields.timeToLive ?? 64, 8)
    header.writeUInt8(protocol, 9)
    from.copy(header, 12)
    to.copy(header, 16)
    options.copy(header, 20)
    header.writeUInt16BE(checksum(header), 10)
    return Buffer.concat([ethernet, Buffer.from([0x08, 0x00]), header, payload])
  })
}

function fragmentWord({ fragment, dontFragment }: IpFields): number {
  if (fragment === undefined) return dontFragment === true ? 0x4000 : 0
  return (fragment.hasMore ? 0x2000 : 0) | (fragment.offset / 8)
}

export function ipv6(source: string, destination: string, fields: IpFields = {}): Transports {
  const from = Buffer.from(addressBytes(address(source)))
  const to = Buffer.from(addressBytes(address(destination)))
  return transports(6, from, to, (protocol, payload) => {
    const { first, bytes } = extensions(protocol, fields)
    const header = Buffer.alloc(40)
    header.writeUInt8(0x60, 0)
    header.writeUInt16BE(bytes.length + payload.length, 4)
    header.writeUInt8(first, 6)
    header.writeUInt8(fields.timeToLive ?? 64, 7)
    from.copy(header, 8)
    to.copy(header, 24)
    return Buffer.concat([ethernet, Buffer.from([0x86, 0xdd]), header, bytes, payload])
  })
}

function extensions(protocol: number, { extension, fragment }: IpFields): { first: number; bytes: Buffer } {
  let first = protocol
  let bytes = Buffer.alloc(0)
  if (fragment !== undefined) {
    bytes = Buffer.alloc(8)
    bytes.writeUInt8(first, 0)
    bytes.writeUInt16BE(fragment.offset | (fragment.hasMore ? 1 : 0), 2)
    bytes.writeUInt32BE(fragment.id, 4)
    first = protocolNumber.fragment
  }
  if (extension !== undefined) {
    const header = Buffer.from(extension.bytes)
    header.writeUInt8(first, lastHeader(header))
    bytes = Buffer.concat([header, bytes])
    first = extension.protocol
  }
  return { first, bytes }
}

/** Where the last of a row of extension headers begins. */
function lastHeader(bytes: Buffer): number {
  let at = 0
  for (;;) {
    const next = at + (bytes.readUInt8(at + 1) + 1) * 8
    if (next >= bytes.length) return at
    at = next
  }
}

type Wrap = (protocol: number, payload: Buffer) => Buffer

function transports(family: 4 | 6, from: Buffer, to: Buffer, wrap: Wrap): Transports {
  const summed = (protocol: number, segment: Buffer, at: number): Buffer => {
    const covered =
      protocol === protocolNumber.icmp
        ? segment
        : Buffer.concat([pseudoHeader(from, to, protocol, segment.length), segment])
    segment.writeUInt16BE(checksum(covered), at)
    /* UDP has a word for "no checksum": a sum of zero is sent as its other form (RFC 768). */
    if (protocol === protocolNumber.udp && segment.readUInt16BE(at) === 0) segment.writeUInt16BE(0xffff, at)
    return wrap(protocol, segment)
  }
  const icmp = family === 4 ? protocolNumber.icmp : protocolNumber.icmp6
  return {
    raw: wrap,
    tcp: (sourcePort, destinationPort, fields = {}) =>
      summed(protocolNumber.tcp, tcpSegment(sourcePort, destinationPort, fields), 16),
    udp(sourcePort, destinationPort, payload = 'hello', hasChecksum = true) {
      const data = Buffer.from(payload)
      const header = Buffer.alloc(8)
      header.writeUInt16BE(sourcePort, 0)
      header.writeUInt16BE(destinationPort, 2)
      header.writeUInt16BE(8 + data.length, 4)
      const datagram = Buffer.concat([header, data])
      return hasChecksum ? summed(protocolNumber.udp, datagram, 6) : wrap(protocolNumber.udp, datagram)
    },
    echo(kind, identifier, payload = 'abcdefgh') {
      const header = Buffer.alloc(8)
      header.writeUInt8(echoType[family][kind], 0)
      header.writeUInt16BE(identifier, 4)
      header.writeUInt16BE(1, 6)
      return summed(icmp, Buffer.concat([header, Buffer.from(payload)]), 2)
    },
    error(kind, frame, quoted = 512) {
      const [type, code] = errorType[family][kind]
      const header = Buffer.alloc(8)
      header.writeUInt8(type, 0)
      header.writeUInt8(code, 1)
      if (kind === 'tooBig') header.writeUInt16BE(1400, 6)
      return summed(icmp, Buffer.concat([header, frame.subarray(ethernetLength, ethernetLength + quoted)]), 2)
    },
  }
}

const echoType = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } } as const
const errorType = {
  4: { unreachable: [3, 1], tooBig: [3, 4], timeExceeded: [11, 0] },
  6: { unreachable: [1, 3], tooBig: [2, 0], timeExceeded: [3, 0] },
} as const

function tcpSegment(sourcePort: number, destinationPort: number, fields: TcpFields): Buffer {
  const mss =
    fields.mss === undefined ? Buffer.alloc(0) : Buffer.from([2, 4, fields.mss >> 8, fields.mss & 255])
  const options = padded(Buffer.concat([fields.options ?? Buffer.alloc(0), mss]))
  const header = Buffer.alloc(20)
  header.writeUInt16BE(sourcePort, 0)
  header.writeUInt16BE(destinationPort, 2)
  header.writeUInt32BE(fields.sequence ?? 1000, 4)
  header.writeUInt32BE(fields.acknowledged ?? 0, 8)
  header.writeUInt8(((20 + options.length) / 4) << 4, 12)
  header.writeUInt8(
    (fields.flags ?? ['SYN']).reduce((bits, flag) => bits | tcpFlagBits[flag], 0),
    13,
  )
  header.writeUInt16BE(65535, 14)
  return Buffer.concat([header, options, Buffer.from(fields.payload ?? '')])
}

function padded(options: Buffer): Buffer {
  return Buffer.concat([options, Buffer.alloc((4 - (options.length % 4)) % 4)])
}

/** So many IPv6 headers in a row, each of eight bytes of padding. */
export function destinationOptions(count: number): { readonly protocol: number; readonly bytes: Buffer } {
  const protocol = 60
  const bytes = Buffer.concat(
    Array.from({ length: count }, () => Buffer.from([protocol, 0, 1, 4, 0, 0, 0, 0])),
  )
  return { protocol, bytes }
}

/** The same packet with one byte another. */
export function corrupt(packet: Buffer, at: number, byte: number): Buffer {
  const copy = Buffer.from(packet)
  copy.writeUInt8(byte, at)
  return copy
}
