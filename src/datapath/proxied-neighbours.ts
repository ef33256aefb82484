import type { Address } from '../net/address.ts'
import type { Netlink } from './netlink.ts'
import {
  addressFamily,
  attribute,
  attributeU8,
  decodeAttributes,
  messageFlag,
  messageType,
} from './netlink-message.ts'
import { familyNumber, fromKernelBytes, kernelBytes } from './network-address.ts'
import { routeProtocol } from './routes.ts'

/** An address that a device answers for to its neighbours, although another device has it, or none. */
export interface ProxiedNeighbour {
  readonly index: number
  readonly address: Address
}

const attributeType = { address: 1, protocol: 12 } as const
const proxyFlag = 8
const fixedLength = 12

function fixedPart(family: number, index: number): Buffer {
  const fixed = Buffer.alloc(fixedLength)
  fixed.writeUInt8(family, 0)
  fixed.writeInt32LE(index, 4)
  fixed.writeUInt8(proxyFlag, 10)
  return fixed
}

/** Of IPv6, those that carry our routes' mark. */
export function listProxiedNeighbours(netlink: Netlink): ProxiedNeighbour[] {
  return netlink
    .dump('list proxied neighbours', messageType.getNeighbour, fixedPart(addressFamily.ipv6, 0))
    .flatMap(({ payload }) => {
      const attributes = decodeAttributes(payload.subarray(fixedLength))
      const address = attributes.get(attributeType.address)
      const isOurs = attributes.get(attributeType.protocol)?.readUInt8(0) === routeProtocol
      if (address?.length !== 16 || !isOurs) return []
      return [{ index: payload.readInt32LE(4), address: fromKernelBytes(address) }]
    })
}

/** Adds, or leaves what is there already. The device's proxy_ndp decides whether anybody is answered. */
export function putProxiedNeighbour(netlink: Netlink, { index, address }: ProxiedNeighbour): void {
  netlink.request(
    `answer for ${address} on device ${index}`,
    messageType.newNeighbour,
    messageFlag.create | messageFlag.replace,
    fixedPart(familyNumber(address), index),
    attribute(attributeType.address, kernelBytes(address)),
    attributeU8(attributeType.protocol, routeProtocol),
  )
}

export function deleteProxiedNeighbour(netlink: Netlink, { index, address }: ProxiedNeighbour): void {
  netlink.request(
    `answer no more for ${address} on device ${index}`,
    messageType.deleteNeighbour,
    0,
    fixedPart(familyNumber(address), index),
    attribute(attributeType.address, kernelBytes(address)),
  )
}
