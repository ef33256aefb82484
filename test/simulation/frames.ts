import { type Address, parseAddress } from '../../src/net/address.ts'
import { ipv4, type TcpFlag } from '../packets/packet.ts'

/** What the simulation has to know of an IPv4 packet: `mark` is the flow that it belongs to, by the payload. */
export interface Frame {
  readonly source: Address
  readonly destination: Address
  readonly protocol: 'tcp' | 'udp'
  readonly sourcePort: number
  readonly destinationPort: number
  readonly flags: number
  readonly flow: number
  readonly sequence: number
}

const ethernet = 14
const tcpHeader = 20
export const tcpFlag = { fin: 1, syn: 2, rst: 4, ack: 16 } as const

export function encodeFrame(frame: Omit<Frame, 'flags'> & { readonly flags?: readonly TcpFlag[] }): Buffer {
  const { source, destination, protocol, sourcePort, destinationPort, flow, sequence, flags } = frame
  const payload = Buffer.alloc(8)
  payload.writeUInt32BE(flow, 0)
  payload.writeUInt32BE(sequence, 4)
  const packet = ipv4(source, destination)
  if (protocol === 'udp') return packet.udp(sourcePort, destinationPort, payload)
  return packet.tcp(sourcePort, destinationPort, { flags: flags ?? ['ACK'], sequence, payload })
}

/** Undefined: none that a flow of the simulation has sent. */
export function decodeFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < ethernet + 28 || bytes.readUInt8(ethernet) >> 4 !== 4) return undefined
  const transport = ethernet + (bytes.readUInt8(ethernet) & 15) * 4
  const number = bytes.readUInt8(ethernet + 9)
  if (number !== 6 && number !== 17) return undefined
  const isTcp = number === 6
  const payload = transport + (isTcp ? (bytes.readUInt8(transport + 12) >> 4) * 4 : 8)
  if (isTcp && transport + tcpHeader > bytes.length) return undefined
  if (payload + 8 > bytes.length) return undefined
  return {
    source: addressAt(bytes, ethernet + 12),
    destination: addressAt(bytes, ethernet + 16),
    protocol: isTcp ? 'tcp' : 'udp',
    sourcePort: bytes.readUInt16BE(transport),
    destinationPort: bytes.readUInt16BE(transport + 2),
    flags: isTcp ? bytes.readUInt8(transport + 13) : 0,
    flow: bytes.readUInt32BE(payload),
    sequence: bytes.readUInt32BE(payload + 4),
  }
}

function addressAt(bytes: Buffer, at: number): Address {
  return parseAddress(bytes.subarray(at, at + 4).join('.')) as Address
}

/** Of a probe only the tunnel's header says anything. */
export const probe = ipv4('192.0.2.1', '192.0.2.2').udp(1, 1)
