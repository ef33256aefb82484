import type { Address } from '../net/address.ts'
import { macBytes, macText } from '../net/mac.ts'
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

/** The MAC of an address on a device's link. */
interface Neighbour {
  readonly index: number
  readonly address: Address
  readonly mac: string
}

/** An address that a device answers for, although it is on another device of the node, or on none. */
export type ProxiedNeighbour = Omit<Neighbour, 'mac'>

const attributeType = { address: 1, mac: 2, protocol: 12 } as const
const proxyFlag = 8
const permanent = 0x80
const fixedLength = 12

function fixedPart(family: number, index: number, state: number, flags = 0): Buffer {
  const fixed = Buffer.alloc(fixedLength)
  fixed.writeUInt8(family, 0)
  fixed.writeInt32LE(index, 4)
  fixed.writeUInt16LE(state, 8)
  fixed.writeUInt8(flags, 10)
  return fixed
}

/** Adds a permanent entry: the kernel never asks for it and never removes it. */
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

/** Lists the permanent entries of all devices. */
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

/** Lists the IPv6 entries that Sallyport added, recognised by the protocol number of its routes. */
export function listProxiedNeighbours(netlink: Netlink): ProxiedNeighbour[] {
  return netlink
    .dump('list proxied neighbours', messageType.getNeighbour, fixedPart(addressFamily.ipv6, 0, 0, proxyFlag))
    .flatMap(({ payload }) => {
      const attributes = decodeAttributes(payload.subarray(fixedLength))
      const address = attributes.get(attributeType.address)
      const isOurs = attributes.get(attributeType.protocol)?.readUInt8(0) === routeProtocol
      if (address?.length !== 16 || !isOurs) return []
      return [{ index: payload.readInt32LE(4), address: fromKernelBytes(address) }]
    })
}

/** Adds the entry, or keeps it. The device answers only if its sysctl proxy_ndp is 1. */
export function putProxiedNeighbour(netlink: Netlink, { index, address }: ProxiedNeighbour): void {
  netlink.request(
    `add the proxied neighbour ${address} on device ${index}`,
    messageType.newNeighbour,
    messageFlag.create | messageFlag.replace,
    fixedPart(familyNumber(address), index, 0, proxyFlag),
    attribute(attributeType.address, kernelBytes(address)),
    attributeU8(attributeType.protocol, routeProtocol),
  )
}

export function deleteProxiedNeighbour(netlink: Netlink, { index, address }: ProxiedNeighbour): void {
  netlink.request(
    `delete the proxied neighbour ${address} on device ${index}`,
    messageType.deleteNeighbour,
    0,
    fixedPart(familyNumber(address), index, 0, proxyFlag),
    attribute(attributeType.address, kernelBytes(address)),
  )
}
