/**
 * A probe as it stands in a UDP datagram: a VXLAN header (RFC 7348 section 5) with the VNI that says what it is, and an
 * Ethernet frame of the local experimental type (IEEE 802) with nothing in it. What it vouches for is the way.
 */
export function probeFrame(vni: number): Buffer {
  const frame = Buffer.alloc(8 + 60)
  frame.writeUInt8(0x08, 0)
  frame.writeUIntBE(vni, 4, 3)
  /* A sender's MAC that no device has: VXLAN drops what seems to come from itself. */
  frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], 8)
  frame.writeUInt16BE(0x88b5, 8 + 12)
  return frame
}
