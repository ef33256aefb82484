/**
 * A probe as the payload of a UDP datagram: a VXLAN header (RFC 7348 section 5) and an empty Ethernet frame of the local
 * experimental type (IEEE 802). The VNI says that it is a probe. An answer shows that the path works.
 */
export function probeFrame(vni: number): Buffer {
  const frame = Buffer.alloc(8 + 60)
  frame.writeUInt8(0x08, 0)
  frame.writeUIntBE(vni, 4, 3)
  /* A source MAC that no device has, because VXLAN drops frames that seem to come from itself. */
  frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], 8)
  frame.writeUInt16BE(0x88b5, 8 + 12)
  return frame
}
