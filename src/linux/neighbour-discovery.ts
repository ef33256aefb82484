import { type Address, parseAddress } from '../net/address.ts'
import { macBytes, macText } from '../net/mac.ts'
import type { AddressClaim } from './arp.ts'
import { transportChecksum } from './checksum.ts'
import { ipHeader } from './ip-header.ts'
import { fromKernelBytes, kernelBytes } from './network-address.ts'
import { ethernet, etherType } from './packet-socket.ts'

/** RFC 4861. Offsets are those of a frame without IPv6 extension headers, which these messages do not have. */
const types = { solicitation: 135, advertisement: 136 } as const
const icmpv6 = 58
const hopLimitOfLink = 255
const overrideFlag = 0x20000000
const at = { nextHeader: 20, source: 22, type: 54, target: 62 } as const
const frameLength = 78

const unspecified = Buffer.alloc(16)
const allNodes = kernelBytes(parseAddress('ff02::1') as Address)
const solicitedNodePrefix = kernelBytes(parseAddress('ff02::1:ff00:0') as Address)

interface NeighbourMessage {
  readonly type: number
  readonly flags: number
  readonly mac: string
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly target: Address
  readonly options: Buffer
}

function neighbourFrame(message: NeighbourMessage): Buffer {
  const { type, flags, mac, source, destination, target, options } = message
  const icmp = Buffer.alloc(24 + options.length)
  icmp.writeUInt8(type, 0)
  icmp.writeUInt32BE(flags, 4)
  icmp.set(kernelBytes(target), 8)
  icmp.set(options, 24)
  const addresses = Buffer.concat([source, destination])
  const header = ipHeader({
    addresses,
    protocol: icmpv6,
    hopLimit: hopLimitOfLink,
    length: icmp.length,
  })
  icmp.writeUInt16BE(transportChecksum(addresses, icmpv6, icmp), 2)
  return Buffer.concat([ethernet(multicastMac(destination), macBytes(mac), etherType.ipv6), header, icmp])
}

/** RFC 2464 section 7. */
function multicastMac(group: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0x33, 0x33]), group.subarray(12)])
}

/** RFC 4861 section 7.2.6: unsolicited, with the override flag, to all nodes on the link. */
export function unsolicitedNeighbour(mac: string, address: Address): Buffer {
  const linkLayerAddress = Buffer.concat([Buffer.from([2, 1]), macBytes(mac)])
  return neighbourFrame({
    type: types.advertisement,
    flags: overrideFlag,
    mac,
    source: kernelBytes(address),
    destination: allNodes,
    target: address,
    options: linkLayerAddress,
  })
}

/** RFC 4862 section 5.4.2: a solicitation without a sender. A host that has the address answers to all nodes on the link. */
export function neighbourProbe(mac: string, address: Address): Buffer {
  const destination = Buffer.concat([solicitedNodePrefix.subarray(0, 13), kernelBytes(address).subarray(13)])
  return neighbourFrame({
    type: types.solicitation,
    flags: 0,
    mac,
    source: unspecified,
    destination,
    target: address,
    options: Buffer.alloc(0),
  })
}

/** Which host says that an address is its own, or probes for it. Undefined for any other frame. */
export function neighbourClaim(frame: Uint8Array): AddressClaim | undefined {
  if (frame.length < frameLength) return undefined
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  if (view.readUInt16BE(12) !== etherType.ipv6 || view.readUInt8(at.nextHeader) !== icmpv6) return undefined
  const type = view.readUInt8(at.type)
  const isProbe =
    type === types.solicitation &&
    unspecified.equals(view.subarray(at.source, at.source + unspecified.length))
  if (type !== types.advertisement && !isProbe) return undefined
  const address = fromKernelBytes(view.subarray(at.target, at.target + 16))
  return { address, mac: macText(view.subarray(6, 12)), isProbe }
}

/**
 * A classic BPF program (linux/filter.h) that admits solicitations and advertisements. Without it the socket would get every IPv6
 * packet that a gateway forwards.
 */
export const neighbourFilter: readonly (readonly [
  code: number,
  ifTrue: number,
  ifFalse: number,
  value: number,
])[] = [
  [0x30, 0, 0, at.nextHeader],
  [0x15, 0, 4, icmpv6],
  [0x30, 0, 0, at.type],
  [0x15, 1, 0, types.solicitation],
  [0x15, 0, 1, types.advertisement],
  [0x06, 0, 0, 0x40000],
  [0x06, 0, 0, 0],
]
