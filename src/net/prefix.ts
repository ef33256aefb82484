import {
  type Address,
  addressFromBigint,
  addressToBigint,
  compareAddresses,
  type Family,
  familyOf,
  parseAddress,
} from './address.ts'

/** A CIDR prefix in canonical form, with host bits zero: `172.18.0.0/16`, `fc00::/7`. Only parsePrefix makes one. */
export type Prefix = string & { readonly __brand: 'Prefix' }

const mappedBits = 96

/**
 * Undefined if the text is not a prefix. Bits beyond the length are set to zero, because Kubernetes users write `10.0.0.1/8`
 * and mean the network.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const [addressText, lengthText, ...rest] = text.split('/')
  if (addressText === undefined || lengthText === undefined || rest.length > 0) return undefined
  const address = parseAddress(addressText)
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(lengthText)) return undefined
  const written = Number(lengthText)
  if (!addressText.includes(':')) return written <= 32 ? makePrefix(address, written) : undefined
  /* A mapped prefix such as ::ffff:10.0.0.0/104 is an IPv4 prefix. A shorter one would cover a part of both families. */
  if (familyOf(address) === 4)
    return written >= mappedBits && written <= 128 ? makePrefix(address, written - mappedBits) : undefined
  return written <= 128 ? makePrefix(address, written) : undefined
}

function makePrefix(address: Address, length: number): Prefix {
  return `${addressFromBigint(addressToBigint(address) & maskOf(familyOf(address), length))}/${length}` as Prefix
}

function maskOf(family: Family, length: number): bigint {
  const length128 = family === 4 ? length + mappedBits : length
  return ((1n << BigInt(length128)) - 1n) << BigInt(128 - length128)
}

export function prefixAddress(prefix: Prefix): Address {
  return prefix.slice(0, prefix.indexOf('/')) as Address
}

/** The length in its own family: 0 to 32, or 0 to 128. */
export function prefixLength(prefix: Prefix): number {
  return Number(prefix.slice(prefix.indexOf('/') + 1))
}

/** The length in 128 bits, with IPv4 mapped. */
export function prefixLength128(prefix: Prefix): number {
  return prefixLength(prefix) + (familyOfPrefix(prefix) === 4 ? mappedBits : 0)
}

export function familyOfPrefix(prefix: Prefix): Family {
  return familyOf(prefixAddress(prefix))
}

export function contains(prefix: Prefix, address: Address): boolean {
  if (familyOf(address) !== familyOfPrefix(prefix)) return false
  const mask = maskOf(familyOf(address), prefixLength(prefix))
  return (addressToBigint(address) & mask) === addressToBigint(prefixAddress(prefix))
}

/** The length of a prefix that contains only this address. */
export function hostLength(address: Address): number {
  return familyOf(address) === 4 ? 32 : 128
}

/** The prefix that contains only this address. */
export function hostPrefix(address: Address): Prefix {
  return makePrefix(address, hostLength(address))
}

/** Whether the outer prefix contains every address of the inner one. */
export function covers(outer: Prefix, inner: Prefix): boolean {
  return prefixLength(outer) <= prefixLength(inner) && contains(outer, prefixAddress(inner))
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return prefixLength(a) <= prefixLength(b) ? contains(a, prefixAddress(b)) : contains(b, prefixAddress(a))
}

/** The most specific of the prefixes that contain the address. */
export function longestMatch(prefixes: Iterable<Prefix>, address: Address): Prefix | undefined {
  let longest: Prefix | undefined
  for (const prefix of prefixes)
    if (contains(prefix, address) && (longest === undefined || prefixLength(prefix) > prefixLength(longest)))
      longest = prefix
  return longest
}

/** The address at a distance from the prefix's own address. Throws a RangeError beyond the end. */
export function addressAt(prefix: Prefix, index: bigint | number): Address {
  const size = 1n << BigInt(128 - prefixLength128(prefix))
  const offset = BigInt(index)
  if (offset < 0n || offset >= size) throw new RangeError(`${prefix} has no address number ${offset}`)
  return addressFromBigint(addressToBigint(prefixAddress(prefix)) + offset)
}

export function lastAddress(prefix: Prefix): Address {
  return addressAt(prefix, (1n << BigInt(128 - prefixLength128(prefix))) - 1n)
}

/** Compares by address, then by length, the shorter first. IPv4 comes before IPv6. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  return compareAddresses(prefixAddress(a), prefixAddress(b)) || prefixLength(a) - prefixLength(b)
}
