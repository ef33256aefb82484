import type { Address } from '../net/address.ts'
import { macBytes, macText } from './codec.ts'
import type { Netlink } from './netlink.ts'
import { attribute, decodeAttributes, messageFlag, messageType } from './netlink-message.ts'
import { familyNumber, fromKernelBytes, kernelBytes } from './network-address.ts'

/** Which MAC an address has on a device. */
export interface Neighbour {
  readonly index: number
  readonly address: Address
  readonly mac: string
}

const attributeType = { address: 1, mac: 2 } as const
const permanent = 0x80
const fixedLength = 12

function fixedPart(family: number, index: number, state: number): Buffer {
  const fixed = Buffer.alloc(fixedLength)
  fixed.writeUInt8(family, 0)
  fixed.writeInt32LE(index, 4)
  fixed.writeUInt16LE(state, 8)
  return fixed
}

/** Permanent: it is never asked for and never forgotten. */
export function putNeighbour(netlink: Netlink, { index, address, mac }: Neighbour): void {
  netlink.request(
    `add the neighbour ${address} on device ${index}`,
    messageType.newNeighbour,
    messageFlag.create | messageFlag.replace,
    fixedPart(familyNumber(address), index, permanent),
    attribute(attributeType.address, kernelBytes(address)),
    attribute(attributeType.mac, macBytes(mac)),
  )
}

export function deleteNeighbour(netlink: Netlink, { index, address }: Omit<Neighbour, 'mac'>): void {
  netlink.request(
    `delete the neighbour ${address} on device ${index}`,
    messageType.deleteNeighbour,
    0,
    fixedPart(familyNumber(address), index, 0),
    attribute(attributeType.address, kernelBytes(address)),
  )
}

/** Permanent ones, of all devices. */
export function listNeighbours(netlink: Netlink): Neighbour[] {
  return netlink
    .dump('list neighbours', messageType.getNeighbour, fixedPart(0, 0, 0))
    .map(({ payload }) => decodeNeighbour(payload))
    .filter((neighbour) => neighbour !== undefined)
}

function decodeNeighbour(payload: Buffer): Neighbour | undefined {
  const attributes = decodeAttributes(payload.subarray(fixedLength))
  const address = attributes.get(attributeType.address)
  const mac = attributes.get(attributeType.mac)
  if ((payload.readUInt16LE(8) & permanent) === 0 || mac?.length !== 6) return undefined
  if (address?.length !== 4 && address?.length !== 16) return undefined
  return { index: payload.readInt32LE(4), address: fromKernelBytes(address), mac: macText(mac) }
}
