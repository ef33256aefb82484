/**
 * Encodes and decodes messages of rtnetlink: a header, a fixed part, and attributes, which can be nested and are padded to four bytes.
 * Format: RFC 3549 and include/uapi/linux/{netlink,rtnetlink}.h.
 */
export interface NetlinkMessage {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly payload: Buffer
}

export const messageType = {
  error: 2,
  done: 3,
  newLink: 16,
  deleteLink: 17,
  getLink: 18,
  newAddress: 20,
  deleteAddress: 21,
  getAddress: 22,
  newRoute: 24,
  deleteRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  deleteNeighbour: 29,
  getNeighbour: 30,
  getQdisc: 38,
  getFilter: 46,
} as const

export const messageFlag = {
  request: 1,
  ack: 4,
  dumpInterrupted: 0x10,
  replace: 0x100,
  exclusive: 0x200,
  dump: 0x300,
  create: 0x400,
  append: 0x800,
  ackAttributes: 0x200,
} as const

const headerLength = 16
const nestedFlag = 0x8000
const typeMask = 0x3fff

export const addressFamily = { any: 0, ipv4: 2, ipv6: 10 } as const

function aligned(length: number): number {
  return (length + 3) & ~3
}

export function encodeMessage(type: number, flags: number, sequence: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(headerLength)
  header.writeUInt32LE(headerLength + payload.length, 0)
  header.writeUInt16LE(type, 4)
  header.writeUInt16LE(flags, 6)
  header.writeUInt32LE(sequence, 8)
  return Buffer.concat([header, payload])
}

export function* decodeMessages(buffer: Buffer): Generator<NetlinkMessage> {
  let at = 0
  while (at + headerLength <= buffer.length) {
    const length = buffer.readUInt32LE(at)
    if (length < headerLength || at + length > buffer.length)
      throw new Error(`netlink: a message of ${length} bytes where ${buffer.length - at} are left`)
    yield {
      type: buffer.readUInt16LE(at + 4),
      flags: buffer.readUInt16LE(at + 6),
      sequence: buffer.readUInt32LE(at + 8),
      payload: buffer.subarray(at + headerLength, at + length),
    }
    at += aligned(length)
  }
}

/** An encoded attribute with its padding. If the value is undefined, there is no attribute. */
export function attribute(type: number, value: Uint8Array): Buffer {
  const buffer = Buffer.alloc(aligned(4 + value.length))
  buffer.writeUInt16LE(4 + value.length, 0)
  buffer.writeUInt16LE(type, 2)
  buffer.set(value, 4)
  return buffer
}

export function nested(type: number, ...attributes: readonly Buffer[]): Buffer {
  return attribute(type | nestedFlag, Buffer.concat(attributes))
}

export function attributeU8(type: number, value: number): Buffer {
  return attribute(type, Uint8Array.of(value))
}

export function attributeU32(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return attribute(type, bytes)
}

export function attributeU16Be(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return attribute(type, bytes)
}

export function attributeU32Be(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return attribute(type, bytes)
}

export function attributeU64Be(type: number, value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return attribute(type, bytes)
}

export function attributeText(type: number, value: string): Buffer {
  return attribute(type, Buffer.from(`${value}\0`))
}

/** The attributes by type. If one occurs several times, the last counts. */
export function decodeAttributes(buffer: Buffer): Map<number, Buffer> {
  return new Map(eachAttribute(buffer))
}

export function* eachAttribute(buffer: Buffer): Generator<readonly [type: number, value: Buffer]> {
  let at = 0
  while (at + 4 <= buffer.length) {
    const length = buffer.readUInt16LE(at)
    if (length < 4 || at + length > buffer.length)
      throw new Error('netlink: an attribute longer than its message')
    yield [buffer.readUInt16LE(at + 2) & typeMask, buffer.subarray(at + 4, at + length)]
    at += aligned(length)
  }
}

export function textOf(value: Buffer): string {
  const end = value.indexOf(0)
  return value.toString('utf8', 0, end < 0 ? value.length : end)
}
