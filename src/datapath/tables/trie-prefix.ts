import type { Address } from '../../net/address.ts'
import { type Prefix, parsePrefix, prefixAddress, prefixLength128 } from '../../net/prefix.ts'
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
