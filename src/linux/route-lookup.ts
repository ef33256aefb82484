import type { Address } from '../net/address.ts'
import { hostLength } from '../net/prefix.ts'
import { isKernelError } from './libc.ts'
import type { Netlink } from './netlink.ts'
import { attribute, attributeU32, messageType } from './netlink-message.ts'
import { familyNumber, kernelBytes } from './network-address.ts'
import { decodeRoute, type Route } from './routes.ts'

const attributeType = { destination: 1, source: 2, outputDevice: 4 } as const
const fixedLength = 12

export interface Wanted {
  readonly destination: Address
  /** The packet's source address, which must be one of this node's. Rules may choose a routing table by it. */
  readonly source?: Address
  /** Only routes of this device count. */
  readonly ifindex?: number
}

/** The route that the kernel takes for a packet, as `ip route get` shows it. Undefined if it has none to another host. */
export function lookUpRoute(netlink: Netlink, wanted: Wanted): Route | undefined {
  const route = ask(netlink, wanted)
  const isElsewhere = route?.ifindex !== (wanted.ifindex ?? route?.ifindex)
  return route === undefined || route.kind !== 'unicast' || isElsewhere ? undefined : route
}

/**
 * Whether a packet has a route as the programs find it: with `ifindex`, the kernel does not take the destination to be on that
 * device's link if no route says so. A route that is no unicast one counts as well.
 */
export function hasRoute(netlink: Netlink, { source, ...wanted }: Wanted): boolean {
  const { ifindex } = wanted
  const find = (of: Wanted): boolean => {
    const route = askStrictly(netlink, of, fibMatch)
    return route?.ifindex === undefined || route.ifindex === (ifindex ?? route.ifindex)
  }
  try {
    return find(source === undefined ? wanted : { ...wanted, source })
  } catch (error) {
    /* The address may just have been removed. */
    if (source !== undefined && isKernelError(error, 'EINVAL')) return hasRoute(netlink, wanted)
    if (isKernelError(error, ...noRoute, 'EINVAL')) return false
    if (isKernelError(error, 'ENODEV')) return true
    throw error
  }
}

/** RTM_F_FIB_MATCH */
const fibMatch = 0x2000
const noRoute = ['ENETUNREACH', 'EHOSTUNREACH', 'EACCES']

function ask(netlink: Netlink, wanted: Wanted): Route | undefined {
  try {
    return askStrictly(netlink, wanted, 0)
  } catch (error) {
    if (isKernelError(error, ...noRoute, 'EINVAL', 'ENODEV')) return undefined
    throw error
  }
}

function askStrictly(netlink: Netlink, { destination, source, ifindex }: Wanted, flags: number) {
  const length = hostLength(destination)
  const fixed = Buffer.alloc(fixedLength)
  fixed.writeUInt8(familyNumber(destination), 0)
  fixed.writeUInt8(length, 1)
  fixed.writeUInt8(source === undefined ? 0 : length, 2)
  fixed.writeUInt32LE(flags, 8)
  const attributes = [
    attribute(attributeType.destination, kernelBytes(destination)),
    ...(source === undefined ? [] : [attribute(attributeType.source, kernelBytes(source))]),
    ...(ifindex === undefined ? [] : [attributeU32(attributeType.outputDevice, ifindex)]),
  ]
  const answer = netlink.ask(`find the route to ${destination}`, messageType.getRoute, fixed, ...attributes)
  return answer && decodeRoute(answer.payload)
}
