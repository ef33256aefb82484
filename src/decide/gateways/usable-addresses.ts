import type { Address } from '../../net/address.ts'
import { contains, overlaps, type Prefix, parsePrefix } from '../../net/prefix.ts'

/** Other hosts cannot send to these addresses (RFC 6890). */
const unusable = (
  [
    ['0.0.0.0/8', 'addresses of 0.0.0.0/8'],
    ['127.0.0.0/8', 'loopback addresses (127.0.0.0/8)'],
    ['224.0.0.0/4', 'multicast addresses (224.0.0.0/4)'],
    ['255.255.255.255/32', 'the broadcast address 255.255.255.255'],
    ['::/127', 'the addresses :: and ::1'],
    ['ff00::/8', 'multicast addresses (ff00::/8)'],
  ] as const
).flatMap(([text, name]) => {
  const prefix = parsePrefix(text)
  return prefix === undefined ? [] : [{ prefix, name }]
})

/** What the address is, if it cannot be an egress IP. */
export function unusableKind(address: Address): string | undefined {
  return unusable.find(({ prefix }) => contains(prefix, address))?.name
}

/** Addresses in the prefix that cannot be egress IPs, if there are any. */
export function unusablePart(pool: Prefix): string | undefined {
  return unusable.find(({ prefix }) => overlaps(prefix, pool))?.name
}
