import { ethernet, etherType } from '../../../linux/packet-socket.ts'
import { type Address, addressBytes, familyOf } from '../../../net/address.ts'
import { macBytes } from '../../../net/mac.ts'

interface LinkProbe {
  readonly mac: string
  readonly ownMac: string
  /** The egress IP of the gateway from which the probe seems to come. */
  readonly source: Address
  readonly sourcePort: number
  readonly destinationPort: number
}

/** In the place of a destination in the world: bpf/from-link.h. No host has these addresses. */
const placeholders = { 4: '192.0.0.8' as Address, 6: '100::8' as Address } as const
const udp = 17
const timeToLive = 64

/** A probe as a whole frame: an empty UDP datagram that looks as packets of pods do on this path. */
export function linkProbeFrame({ mac, ownMac, source, sourcePort, destinationPort }: LinkProbe): Buffer {
  const family = familyOf(source)
  const addresses = Buffer.concat([source, placeholders[family]].map((address) => bytesOf(address, family)))
  const datagram = Buffer.alloc(8)
  datagram.writeUInt16BE(sourcePort, 0)
  datagram.writeUInt16BE(destinationPort, 2)
  datagram.writeUInt16BE(datagram.length, 4)
  datagram.writeUInt16BE(udpChecksum(addresses, datagram), 6)
  const header =
    family === 4 ? ipv4Header(addresses, datagram.length) : ipv6Header(addresses, datagram.length)
  const type = family === 4 ? etherType.ipv4 : etherType.ipv6
  return Buffer.concat([ethernet(macBytes(mac), macBytes(ownMac), type), header, datagram])
}

function bytesOf(address: Address, family: 4 | 6): Uint8Array {
  const bytes = addressBytes(address)
  return family === 4 ? bytes.subarray(12) : bytes
}

function ipv4Header(addresses: Buffer, payload: number): Buffer {
  const header = Buffer.alloc(20)
  header.writeUInt8(0x45, 0)
  header.writeUInt16BE(header.length + payload, 2)
  header.writeUInt8(timeToLive, 8)
  header.writeUInt8(udp, 9)
  header.set(addresses, 12)
  header.writeUInt16BE(onesComplement(header), 10)
  return header
}

function ipv6Header(addresses: Buffer, payload: number): Buffer {
  const header = Buffer.alloc(40)
  header.writeUInt8(0x60, 0)
  header.writeUInt16BE(payload, 4)
  header.writeUInt8(udp, 6)
  header.writeUInt8(timeToLive, 7)
  header.set(addresses, 8)
  return header
}

/** RFC 768, with the pseudo header of RFC 8200, which has the same sum for IPv4. */
function udpChecksum(addresses: Buffer, datagram: Buffer): number {
  const pseudo = Buffer.alloc(8)
  pseudo.writeUInt32BE(datagram.length, 0)
  pseudo.writeUInt8(udp, 7)
  return onesComplement(Buffer.concat([addresses, pseudo, datagram])) || 0xffff
}

/** Of an even number of bytes (RFC 1071). */
function onesComplement(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}
