import { decodeAttributes } from '../../src/linux/netlink-message.ts'

/* What the kernel knows entries by: two messages with one key are about the same entry. */

const text = (bytes: Buffer | undefined): string => bytes?.toString('hex') ?? ''

export function addressKey(payload: Buffer): string {
  const attributes = decodeAttributes(payload.subarray(8))
  return `${payload.readUInt32LE(4)} ${text(attributes.get(2))}/${payload[1]}`
}

export function routeKey(payload: Buffer): string {
  const attributes = decodeAttributes(payload.subarray(12))
  return [
    payload[0],
    text(attributes.get(1)),
    payload[1],
    text(attributes.get(7 + 8)),
    text(attributes.get(6)),
  ].join()
}

export function neighbourKey(payload: Buffer): string {
  return `${payload.readInt32LE(4)} ${payload[10]} ${text(decodeAttributes(payload.subarray(12)).get(1))}`
}
