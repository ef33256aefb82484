import { transportChecksum } from '../../linux/checksum.ts'
import { ipHeader } from '../../linux/ip-header.ts'
import { kernelBytes } from '../../linux/network-address.ts'
import { ethernet, etherType } from '../../linux/packet-socket.ts'
import { type Address, familyOf } from '../../net/address.ts'
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
  const type = familyOf(flow.source) === 4 ? etherType.ipv4 : etherType.ipv6
  const { protocol } = flow
  const header = ipHeader({
    addresses: addressesOf(flow),
    protocol,
    hopLimit,
    length: payload.length,
    isWhole: true,
  })
  return Buffer.concat([ethernet(macBytes(macs.to), macBytes(macs.from), type), header, payload])
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

const hopLimit = 64

/** As the headers have them. */
const addressesOf = ({ source, destination }: FlowKey): Uint8Array =>
  Buffer.concat([source, destination].map(kernelBytes))

interface TcpStart {
  readonly sequence: number
  readonly flags: number
}

function transport(flow: FlowKey, start: TcpStart): Buffer {
  const header = transportHeader(flow, start)
  const { protocol } = flow
  const checksumAt = { 6: 16, 17: 6 }[protocol as number]
  if (checksumAt === undefined) return header
  header.writeUInt16BE(transportChecksum(addressesOf(flow), protocol, header) || 0xffff, checksumAt)
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
