/** The checksum of the Internet protocols (RFC 1071), over an even number of bytes. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/**
 * Over the pseudo header and the message, whose checksum field is still zero (RFC 8200 section 8.1). With IPv4 addresses the sum is that of
 * the IPv4 pseudo header. `addresses`: source and destination as in the IP header.
 */
export function transportChecksum(addresses: Uint8Array, protocol: number, message: Buffer): number {
  const pseudo = Buffer.alloc(8)
  pseudo.writeUInt32BE(message.length, 0)
  pseudo.writeUInt8(protocol, 7)
  return internetChecksum(Buffer.concat([addresses, pseudo, message]))
}
