import { internetChecksum, transportChecksum } from '../../linux/checksum.ts'
import { type Address, addressBytes, familyOf } from '../../net/address.ts'
import { macBytes } from '../../net/mac.ts'
import type { FlowKey } from '../tables/flow-tables.ts'

/** The protocols that Sallyport translates, by their numbers in an IP header. */
const protocolNumbers = { tcp: 6, udp: 17, icmp: 1 } as const
export type Protocol = keyof typeof protocolNumbers

interface Macs {
  readonly to: string
  readonly from: string
}

const tcpFlags = { syn: 2, rst: 4 } as const

/** The first packet of a flow: a TCP SYN, an empty datagram or an echo request. The checksum of an echo request is zero. */
export function openingPacket(flow: FlowKey, macs: Macs, sequence = 0): Buffer {
  return packet(flow, macs, transport(flow, { sequence, flags: tcpFlags.syn }))
}

/** The reset of a connection of which only the SYN was sent. It closes the connection at the far end. `sequence`: of the SYN. */
export function resetPacket(flow: FlowKey, macs: Macs, sequence: number): Buffer {
  return packet(flow, macs, transport(flow, { sequence: (sequence + 1) >>> 0, flags: tcpFlags.rst }))
}

function packet(flow: FlowKey, macs: Macs, payload: Buffer): Buffer {
  const ethernet = Buffer.concat([macBytes(macs.to), macBytes(macs.from), etherType(flow.source)])
  return Buffer.concat([ethernet, network(flow, payload.length), payload])
}

/** The flow as the program sees it. An echo request has its identifier in the place of the source port. */
export function openingFlow(
  source: Address,
  destination: Address,
  {
    protocol,
    port,
    sourcePort,
  }: { readonly protocol: Protocol; readonly port: number; readonly sourcePort: number },
): FlowKey {
  const isIcmp = protocol === 'icmp'
  const icmpv6 = 58
  return {
    source,
    destination,
    source_port: sourcePort,
    destination_port: isIcmp ? 0 : port,
    protocol: isIcmp && familyOf(source) === 6 ? icmpv6 : protocolNumbers[protocol],
  }
}

function etherType(source: Address): Buffer {
  return Buffer.from(familyOf(source) === 4 ? [0x08, 0x00] : [0x86, 0xdd])
}

const hopLimit = 64

function network({ source, destination, protocol }: FlowKey, length: number): Buffer {
  if (familyOf(source) === 6) {
    const header = Buffer.alloc(8)
    header.writeUInt8(0x60, 0)
    header.writeUInt16BE(length, 4)
    header.writeUInt8(protocol, 6)
    header.writeUInt8(hopLimit, 7)
    return Buffer.concat([header, addressBytes(source), addressBytes(destination)])
  }
  const header = Buffer.alloc(20)
  header.writeUInt8(0x45, 0)
  header.writeUInt16BE(header.length + length, 2)
  header.writeUInt16BE(0x4000, 6) /* do not fragment */
  header.writeUInt8(hopLimit, 8)
  header.writeUInt8(protocol, 9)
  header.set(addressBytes(source).subarray(12), 12)
  header.set(addressBytes(destination).subarray(12), 16)
  header.writeUInt16BE(internetChecksum(header), 10)
  return header
}

interface TcpStart {
  readonly sequence: number
  readonly flags: number
}

function transport(flow: FlowKey, start: TcpStart): Buffer {
  const header = transportHeader(flow, start)
  const { source, destination, protocol } = flow
  const checksumAt = { 6: 16, 17: 6 }[protocol as number]
  if (checksumAt === undefined) return header
  const addresses = [source, destination].map((each) =>
    addressBytes(each).subarray(familyOf(each) === 4 ? 12 : 0),
  )
  const checksum = transportChecksum(Buffer.concat(addresses), protocol, header)
  header.writeUInt16BE(checksum === 0 ? 0xffff : checksum, checksumAt)
  return header
}

function transportHeader(
  { source_port, destination_port, protocol }: FlowKey,
  { sequence, flags }: TcpStart,
): Buffer {
  if (protocol === protocolNumbers.tcp) {
    const header = Buffer.alloc(20)
    header.writeUInt16BE(source_port, 0)
    header.writeUInt16BE(destination_port, 2)
    header.writeUInt32BE(sequence, 4)
    header.writeUInt8(5 << 4, 12)
    header.writeUInt8(flags, 13)
    header.writeUInt16BE(65535, 14)
    return header
  }
  const header = Buffer.alloc(8)
  if (protocol === protocolNumbers.udp) {
    header.writeUInt16BE(source_port, 0)
    header.writeUInt16BE(destination_port, 2)
    header.writeUInt16BE(header.length, 4)
    return header
  }
  header.writeUInt8(protocol === protocolNumbers.icmp ? 8 : 128, 0) /* echo request */
  header.writeUInt16BE(source_port, 4)
  return header
}
