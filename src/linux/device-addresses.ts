import type { Address } from '../net/address.ts'
import type { Netlink } from './netlink.ts'
import {
  addressFamily,
  attribute,
  attributeU32,
  decodeAttributes,
  messageFlag,
  messageType,
} from './netlink-message.ts'
import { familyNumber, fromKernelBytes, kernelBytes } from './network-address.ts'

/** An address on a device. */
export interface DeviceAddress {
  readonly index: number
  readonly address: Address
  readonly prefixLength: number
  readonly scope: 'global' | 'site' | 'link' | 'host'
  /** The address cannot be used yet, because duplicate address detection has not finished. */
  readonly isTentative: boolean
  readonly isDeprecated: boolean
}

const attributeType = { address: 1, local: 2, cacheInfo: 6, flags: 8 } as const
const flag = { noDad: 2, deprecated: 0x20, tentative: 0x40, noPrefixRoute: 0x200 } as const
const scopes = new Map([
  [0, 'global'],
  [200, 'site'],
  [253, 'link'],
  [254, 'host'],
] as const)
const fixedLength = 8

const hostScope = 254

function fixedPart(family: number, prefixLength: number, index: number, scope = 0): Buffer {
  const fixed = Buffer.alloc(fixedLength)
  fixed.writeUInt8(family, 0)
  fixed.writeUInt8(prefixLength, 1)
  fixed.writeUInt8(scope, 3)
  fixed.writeUInt32LE(index, 4)
  return fixed
}

/** In the kernel's order, which is its order of preference. */
export function listAddresses(netlink: Netlink): DeviceAddress[] {
  return netlink
    .dump('list addresses', messageType.getAddress, fixedPart(addressFamily.any, 0, 0))
    .map(({ payload }) => decodeDeviceAddress(payload))
    .filter((address) => address !== undefined)
}

export function decodeDeviceAddress(payload: Buffer): DeviceAddress | undefined {
  const attributes = decodeAttributes(payload.subarray(fixedLength))
  /* On a point-to-point device, ADDRESS is the far end. If LOCAL is present, it is this node's address. */
  const bytes = attributes.get(attributeType.local) ?? attributes.get(attributeType.address)
  if (bytes === undefined) return undefined
  const flags = attributes.get(attributeType.flags)?.readUInt32LE(0) ?? payload.readUInt8(2)
  return {
    index: payload.readUInt32LE(4),
    address: fromKernelBytes(bytes),
    prefixLength: payload.readUInt8(1),
    scope: scopes.get(payload.readUInt8(3) as 0) ?? 'global',
    isTentative: (flags & flag.tentative) !== 0,
    isDeprecated: (flags & flag.deprecated) !== 0,
  }
}

interface NewAddress {
  readonly index: number
  readonly address: Address
  readonly prefixLength: number
  /** If false, the kernel adds no route to the address's prefix. */
  readonly hasPrefixRoute?: boolean
  /** IPv6 only: the node's own sockets do not use it unless they ask for it. */
  readonly isDeprecated?: boolean
  /** No socket of the node chooses it, and it counts as no way to the node. */
  readonly isOfHost?: boolean
}

/** Adds the address, or keeps it. IPv6 skips duplicate address detection, because Sallyport decides which node has the address. */
export function putAddress(
  netlink: Netlink,
  { index, address, prefixLength, hasPrefixRoute, isDeprecated = false, isOfHost = false }: NewAddress,
): void {
  const isLent = isDeprecated && familyNumber(address) === addressFamily.ipv6
  const flags = flag.noDad | (hasPrefixRoute === false ? flag.noPrefixRoute : 0)
  netlink.request(
    `add ${address}/${prefixLength} to device ${index}`,
    messageType.newAddress,
    messageFlag.create | messageFlag.replace,
    fixedPart(familyNumber(address), prefixLength, index, isOfHost ? hostScope : 0),
    attribute(attributeType.local, kernelBytes(address)),
    attribute(attributeType.address, kernelBytes(address)),
    attributeU32(attributeType.flags, flags),
    ...(isLent ? [attribute(attributeType.cacheInfo, validButNotPreferred)] : []),
  )
}

/** struct ifa_cacheinfo: for how many seconds the address is preferred and valid, and two times that the kernel sets. */
const validButNotPreferred = Buffer.from('00000000ffffffff0000000000000000', 'hex')

/** Fails with EADDRNOTAVAIL if the device does not have the address. */
export function deleteAddress(netlink: Netlink, { index, address, prefixLength }: NewAddress): void {
  netlink.request(
    `delete ${address}/${prefixLength} from device ${index}`,
    messageType.deleteAddress,
    0,
    fixedPart(familyNumber(address), prefixLength, index),
    attribute(attributeType.local, kernelBytes(address)),
  )
}
