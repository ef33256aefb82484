/** RFC 1071: the one's complement of the one's complement sum, odd lengths padded with a zero byte. */
export function checksum(bytes: Buffer): number {
  return ~fold(sum(bytes)) & 0xffff
}

/** A checksum field is right when the sum over everything that it covers, itself included, is all ones. */
export function sumsToOnes(bytes: Buffer): boolean {
  return fold(sum(bytes)) === 0xffff
}

/** What TCP, UDP and ICMPv6 checksums cover beside their own bytes; the addresses say which family it is. */
export function pseudoHeader(source: Buffer, destination: Buffer, protocol: number, length: number): Buffer {
  const isIpv6 = source.length === 16
  const rest = Buffer.alloc(isIpv6 ? 8 : 4)
  if (isIpv6) {
    rest.writeUInt32BE(length, 0)
    rest.writeUInt8(protocol, 7)
  } else {
    rest.writeUInt8(protocol, 1)
    rest.writeUInt16BE(length, 2)
  }
  return Buffer.concat([source, destination, rest])
}

function sum(bytes: Buffer): number {
  let total = 0
  for (let at = 0; at + 1 < bytes.length; at += 2) total += bytes.readUInt16BE(at)
  return bytes.length % 2 === 1 ? total + bytes.readUInt8(bytes.length - 1) * 256 : total
}

function fold(total: number): number {
  let folded = total
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 65536)
  return folded
}
