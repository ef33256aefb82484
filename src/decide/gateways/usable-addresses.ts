import type { Address } from '../../net/address.ts'
import { contains, overlaps, type Prefix, parsePrefix } from '../../net/prefix.ts'

/** Other hosts cannot send to these addresses (RFC 6890): this network, loopback, multicast, broadcast, :: and ::1. */
const unusable = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '224.0.0.0/4',
  '255.255.255.255/32',
  '::/127',
  'ff00::/8',
].flatMap((text) => parsePrefix(text) ?? [])

export function canBeEgressIp(address: Address): boolean {
  return !unusable.some((prefix) => contains(prefix, address))
}

export function canBePool(prefix: Prefix): boolean {
  return !unusable.some((each) => overlaps(each, prefix))
}
