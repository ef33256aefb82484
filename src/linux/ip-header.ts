import { internetChecksum } from './checksum.ts'

interface IpHeader {
  /** Source and destination as the header has them: 8 bytes for IPv4, 32 for IPv6. */
  readonly addresses: Uint8Array
  readonly protocol: number
  readonly hopLimit: number
  /** Of what follows the header, in bytes. */
  readonly length: number
  /** IPv4: no router may fragment the packet. */
  readonly isWhole?: boolean
}

const doNotFragment = 0x4000

/** A header without options or extension headers. */
export function ipHeader({ addresses, protocol, hopLimit, length, isWhole = false }: IpHeader): Buffer {
  if (addresses.length === 32) {
    const header = Buffer.alloc(40)
    header.writeUInt8(0x60, 0)
    header.writeUInt16BE(length, 4)
    header.writeUInt8(protocol, 6)
    header.writeUInt8(hopLimit, 7)
    header.set(addresses, 8)
    return header
  }
  const header = Buffer.alloc(20)
  header.writeUInt8(0x45, 0)
  header.writeUInt16BE(header.length + length, 2)
  header.writeUInt16BE(isWhole ? doNotFragment : 0, 6)
  header.writeUInt8(hopLimit, 8)
  header.writeUInt8(protocol, 9)
  header.set(addresses, 12)
  header.writeUInt16BE(internetChecksum(header), 10)
  return header
}
