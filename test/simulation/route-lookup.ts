import { attribute, attributeU32, decodeAttributes } from '../../src/linux/netlink-message.ts'
import { fromKernelBytes } from '../../src/linux/network-address.ts'
import { decodeRoute } from '../../src/linux/routes.ts'
import { contains, prefixLength } from '../../src/net/prefix.ts'

/* Routes and addresses are bytes of rtnetlink's messages, as in kernel-network.ts. */

const fixedLength = 12
const type = { destination: 1, device: 4 } as const
const kind = { unicast: 1, local: 2 } as const

/** The route that a question asks for: the longest prefix of all routes and of the networks of devices. */
export function routeTo(
  question: Buffer,
  routes: Iterable<Buffer>,
  addresses: Iterable<Buffer>,
): Buffer | undefined {
  const wanted = decodeAttributes(question.subarray(fixedLength)).get(type.destination)
  if (wanted === undefined) return undefined
  const address = fromKernelBytes(wanted)
  return [...routes, ...[...addresses].flatMap(connectedRoutes)]
    .flatMap((payload) => {
      const destination = decodeRoute(payload)?.destination
      return destination !== undefined && contains(destination, address) ? [{ payload, destination }] : []
    })
    .toSorted((a, b) => prefixLength(b.destination) - prefixLength(a.destination))[0]?.payload
}

/** Those that a kernel has for an address of a device: to the address itself, and to its network. */
function connectedRoutes(payload: Buffer): Buffer[] {
  const address = decodeAttributes(payload.subarray(8)).get(2)
  if (address === undefined) return []
  const route = (length: number, of: number): Buffer => {
    const fixed = Buffer.alloc(fixedLength)
    fixed.set([payload[0] ?? 0, length])
    fixed.writeUInt8(of, 7)
    return Buffer.concat([
      fixed,
      attribute(type.destination, address),
      attributeU32(type.device, payload.readUInt32LE(4)),
    ])
  }
  return [route(address.length * 8, kind.local), route(payload[1] ?? 0, kind.unicast)]
}
