import type { Address } from '../net/address.ts'
import { hostLength } from '../net/prefix.ts'
import { isKernelError } from './libc.ts'
import type { Netlink } from './netlink.ts'
import { attribute, attributeU32, messageType } from './netlink-message.ts'
import { familyNumber, kernelBytes } from './network-address.ts'
import { decodeRoute, type Route } from './routes.ts'

const attributeType = { destination: 1, source: 2, outputDevice: 4 } as const
const fixedLength = 12

interface Wanted {
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

function ask(netlink: Netlink, { destination, source, ifindex }: Wanted): Route | undefined {
  const length = hostLength(destination)
  const fixed = Buffer.alloc(fixedLength)
  fixed.writeUInt8(familyNumber(destination), 0)
  fixed.writeUInt8(length, 1)
  fixed.writeUInt8(source === undefined ? 0 : length, 2)
  const attributes = [
    attribute(attributeType.destination, kernelBytes(destination)),
    ...(source === undefined ? [] : [attribute(attributeType.source, kernelBytes(source))]),
    ...(ifindex === undefined ? [] : [attributeU32(attributeType.outputDevice, ifindex)]),
  ]
  try {
    const answer = netlink.ask(`find the route to ${destination}`, messageType.getRoute, fixed, ...attributes)
    return answer && decodeRoute(answer.payload)
  } catch (error) {
    if (isKernelError(error, 'ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL', 'ENODEV')) return undefined
    throw error
  }
}
