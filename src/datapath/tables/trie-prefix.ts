import type { Address } from '../../net/address.ts'
import { type Prefix, parsePrefix } from '../../net/prefix.ts'

/** Tries compare the 128 bits from the left. An IPv4 prefix is 96 bits longer there than as people write it. */
export function prefixFrom(from: Address, length128: number): Prefix {
  const isIpv4 = !from.includes(':') && length128 >= 96
  const prefix = parsePrefix(isIpv4 ? `${from}/${length128 - 96}` : `${from}/${length128}`)
  if (prefix === undefined) throw new Error(`a trie holds the impossible prefix ${from}/${length128}`)
  return prefix
}
