import { attribute, attributeU32, decodeAttributes } from '../../src/linux/netlink-message.ts'

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
  const all = [...routes, ...[...addresses].flatMap(connectedRoutes)]
  const matching = all.filter(
    (route) => route[0] === question[0] && wanted !== undefined && covers(route, wanted),
  )
  return matching.toSorted((a, b) => (b[1] ?? 0) - (a[1] ?? 0))[0]
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

/** Whether a route's prefix contains the address. */
function covers(route: Buffer, address: Buffer): boolean {
  const target = decodeAttributes(route.subarray(fixedLength)).get(type.destination)
  const length = route[1] ?? 0
  return length === 0 || bits(target, length) === bits(address, length)
}

function bits(bytes: Buffer | undefined, length: number): string {
  return [...(bytes ?? [])]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('')
    .slice(0, length)
}
