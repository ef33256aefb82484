import { type Address, addressFromBytes } from '../../src/net/address.ts'
import { macText } from '../../src/net/mac.ts'
import { pseudoHeader, sumsToOnes } from './checksum.ts'
import { ethernetLength, protocolNumber, type TcpFlag, tcpFlagBits } from './packet.ts'

/** What a test says about a packet that came out. */
export interface Dissected {
  readonly destinationMac: string
  readonly sourceMac: string
  readonly source: Address
  readonly destination: Address
  readonly protocol: number
  readonly timeToLive: number
  readonly length: number
  readonly sourcePort?: number
  readonly destinationPort?: number
  readonly identifier?: number
  readonly icmpType?: number
  readonly icmpCode?: number
  readonly mtu?: number
  readonly mss?: number
  readonly flags?: readonly TcpFlag[]
  /** Of an ICMP error: the packet that it speaks about. */
  readonly about?: Omit<Dissected, 'destinationMac' | 'sourceMac' | 'wrongChecksums'>
  /** Which checksums are wrong; of an embedded packet only the IP header's can be known. */
  readonly wrongChecksums: readonly string[]
}

const mapped = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])

export function dissect(frame: Buffer): Dissected {
  const packet = frame.subarray(ethernetLength)
  return {
    destinationMac: macText(frame.subarray(0, 6)),
    sourceMac: macText(frame.subarray(6, 12)),
    ...dissectIp(packet, false),
  }
}

interface Network {
  readonly source: Buffer
  readonly destination: Buffer
  readonly protocol: number
  readonly timeToLive: number
  readonly length: number
  readonly isLaterFragment: boolean
  readonly isFragment: boolean
  readonly payload: Buffer
  readonly wrong: readonly string[]
}

function dissectIp(packet: Buffer, isQuoted: boolean): Omit<Dissected, 'destinationMac' | 'sourceMac'> {
  const network = packet.readUInt8(0) >> 4 === 4 ? readIpv4(packet) : readIpv6(packet)
  const { source, destination, protocol, timeToLive, length, payload, wrong, isFragment } = network
  const whole = !isQuoted && !isFragment
  const { wrongQuote = [], ...transport } = network.isLaterFragment ? {} : readTransport(protocol, payload)
  return {
    source: textOf(source),
    destination: textOf(destination),
    protocol,
    timeToLive,
    length,
    ...transport,
    wrongChecksums: [...wrong, ...(whole ? wrongTransport(network) : []), ...wrongQuote],
  }
}

function readIpv4(packet: Buffer): Network {
  const headerLength = (packet.readUInt8(0) & 15) * 4
  const fragment = packet.readUInt16BE(6)
  return {
    source: packet.subarray(12, 16),
    destination: packet.subarray(16, 20),
    protocol: packet.readUInt8(9),
    timeToLive: packet.readUInt8(8),
    length: packet.readUInt16BE(2),
    isFragment: (fragment & 0x3fff) !== 0,
    isLaterFragment: (fragment & 0x1fff) !== 0,
    payload: packet.subarray(headerLength, packet.readUInt16BE(2)),
    wrong: sumsToOnes(packet.subarray(0, headerLength)) ? [] : ['IPv4 header'],
  }
}

function readIpv6(packet: Buffer): Network {
  const length = 40 + packet.readUInt16BE(4)
  let protocol = packet.readUInt8(6)
  let at = 40
  let fragment = { isFragment: false, isLaterFragment: false }
  while ([0, 43, 60, protocolNumber.fragment].includes(protocol)) {
    if (protocol === protocolNumber.fragment)
      fragment = { isFragment: true, isLaterFragment: packet.readUInt16BE(at + 2) >> 3 !== 0 }
    const size: number = protocol === protocolNumber.fragment ? 8 : (packet.readUInt8(at + 1) + 1) * 8
    protocol = packet.readUInt8(at)
    at += size
  }
  return {
    source: packet.subarray(8, 24),
    destination: packet.subarray(24, 40),
    protocol,
    timeToLive: packet.readUInt8(7),
    length,
    ...fragment,
    payload: packet.subarray(at, length),
    wrong: [],
  }
}

function textOf(bytes: Buffer): Address {
  return addressFromBytes(bytes.length === 4 ? Buffer.concat([mapped, bytes]) : bytes)
}

function readTransport(
  protocol: number,
  payload: Buffer,
): Partial<Dissected> & { readonly wrongQuote?: readonly string[] } {
  if (protocol === protocolNumber.tcp || protocol === protocolNumber.udp) {
    const ports = { sourcePort: payload.readUInt16BE(0), destinationPort: payload.readUInt16BE(2) }
    return protocol === protocolNumber.tcp && payload.length >= 20 ? { ...ports, ...readTcp(payload) } : ports
  }
  if (protocol !== protocolNumber.icmp && protocol !== protocolNumber.icmp6) return {}
  const icmpType = payload.readUInt8(0)
  if ([0, 8, 128, 129].includes(icmpType)) return { icmpType, identifier: payload.readUInt16BE(4) }
  if (![1, 2, 3, 11].includes(icmpType)) return { icmpType }
  const { wrongChecksums, ...about } = dissectIp(payload.subarray(8), true)
  return {
    icmpType,
    icmpCode: payload.readUInt8(1),
    mtu: payload.readUInt16BE(6),
    about,
    wrongQuote: wrongChecksums.map((name) => `quoted ${name}`),
  }
}

function readTcp(segment: Buffer): Partial<Dissected> {
  const bits = segment.readUInt8(13)
  const flags = (Object.keys(tcpFlagBits) as TcpFlag[]).filter((flag) => bits & tcpFlagBits[flag])
  const end = Math.min((segment.readUInt8(12) >> 4) * 4, segment.length)
  for (let at = 20; at + 4 <= end; ) {
    const kind = segment.readUInt8(at)
    if (kind === 0) break
    if (kind === 2) return { flags, mss: segment.readUInt16BE(at + 2) }
    at += kind === 1 ? 1 : Math.max(segment.readUInt8(at + 1), 2)
  }
  return { flags }
}

function wrongTransport({ source, destination, protocol, payload }: Network): string[] {
  const name = Object.entries(protocolNumber).find(([, number]) => number === protocol)?.[0]
  const known: readonly number[] = [
    protocolNumber.icmp,
    protocolNumber.icmp6,
    protocolNumber.tcp,
    protocolNumber.udp,
  ]
  if (name === undefined || !known.includes(protocol)) return []
  const hasNone = protocol === protocolNumber.udp && source.length === 4 && payload.readUInt16BE(6) === 0
  const covered =
    protocol === protocolNumber.icmp
      ? payload
      : Buffer.concat([pseudoHeader(source, destination, protocol, payload.length), payload])
  return hasNone || sumsToOnes(covered) ? [] : [name]
}
