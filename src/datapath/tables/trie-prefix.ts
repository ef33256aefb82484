import { type Address, addressFromBigint, addressToBigint } from '../../net/address.ts'
import {
  familyOfPrefix,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixLength,
  prefixLength128,
} from '../../net/prefix.ts'
import type { StructLayout } from '../layout/btf.ts'
import { address, type Codec, record, seenAs, u32, u64Halves } from '../layout/codec.ts'

/** Tries compare the 128 bits from the left. An IPv4 prefix is 96 bits longer there than as people write it. */
export function prefixFrom(from: Address, length128: number): Prefix {
  const isIpv4 = !from.includes(':') && length128 >= 96
  const prefix = parsePrefix(isIpv4 ? `${from}/${length128 - 96}` : `${from}/${length128}`)
  if (prefix === undefined) throw new Error(`a trie holds the impossible prefix ${from}/${length128}`)
  return prefix
}

/** A destination in one of many sets of prefixes that share a trie: a policy set, or a set of NetworkPolicies. */
interface SetKey {
  readonly set: bigint
  readonly destination: Prefix
}

/** The trie compares all bits of the set before those of the prefix. */
const setBits = 64

/** `setField` is the C name of the field with the set. */
export function setKeyCodec(layout: StructLayout, setField: string): Codec<SetKey> {
  const inner = record(
    layout,
    { prefixLength: u32, set: u64Halves, destination: address },
    { [setField]: 'set' },
  )
  return seenAs(
    inner,
    ({ set, destination }: SetKey) => ({
      prefixLength: setBits + prefixLength128(destination),
      set,
      destination: prefixAddress(destination),
    }),
    ({ prefixLength, set, destination }) => ({
      set,
      destination: prefixFrom(destination, prefixLength - setBits),
    }),
  )
}

/** IPv4 addresses are mapped in a trie: ::ffff:0:0/96. */
const mapped = { bits: 0xffffn << 32n, length: 96 } as const

/** Whether an IPv6 prefix such as ::/0 contains the place of the IPv4 addresses in a trie. It is not about them. */
export function containsMapped(prefix: Prefix): boolean {
  if (familyOfPrefix(prefix) === 4 || prefixLength(prefix) >= mapped.length) return false
  const rest = 128n - BigInt(prefixLength(prefix))
  return addressToBigint(prefixAddress(prefix)) >> rest === mapped.bits >> rest
}

/** The same addresses without the place of the IPv4 ones: the other half of each step from the prefix to that place. */
export function withoutMapped(prefix: Prefix): readonly Prefix[] {
  if (!containsMapped(prefix)) return [prefix]
  const steps = mapped.length - prefixLength(prefix)
  return Array.from({ length: steps }, (_, index) => {
    const length = prefixLength(prefix) + index + 1
    const rest = 128n - BigInt(length)
    return prefixFrom(addressFromBigint(((mapped.bits >> rest) ^ 1n) << rest), length)
  })
}
