/**
 * An IP address as text in its canonical form (RFC 5952 for IPv6, and IPv4 for IPv4-mapped ones). So equal addresses are
 * equal strings, and can be keys of a Map. Only parseAddress and addressFromBytes make one.
 */
export type Address = string & { readonly __brand: 'Address' }
export type Family = 4 | 6

const mappedPrefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] as const

/** Strict: no leading zeros, no shorthand such as `10.1`, no zone. Undefined if the text is not an address. */
export function parseAddress(text: string): Address | undefined {
  const known = knownTexts.get(text)
  if (known !== undefined) return known
  const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text)
  if (bytes === undefined) return undefined
  const address = addressFromBytes(bytes)
  if (knownTexts.size >= mostKnown) knownTexts.clear()
  knownTexts.set(text, address)
  return address
}

const knownTexts = new Map<string, Address>()

export function familyOf(address: Address): Family {
  return address.includes(':') ? 6 : 4
}

/** 16 bytes, IPv4 as ::ffff:a.b.c.d. The bytes are cached and shared, so callers must not write to them. */
export function addressBytes(address: Address): Uint8Array {
  const known = knownBytes.get(address)
  if (known !== undefined) return known
  const bytes = address.includes(':') ? parseIpv6(address) : parseIpv4(address)
  if (bytes === undefined) throw new TypeError(`${address} is no address`)
  if (knownBytes.size >= mostKnown) knownBytes.clear()
  knownBytes.set(address, bytes)
  return bytes
}

const knownBytes = new Map<Address, Uint8Array>()
/** More than a large cluster has nodes and egress IPs. */
const mostKnown = 8192

/** From 16 bytes, as addressBytes gives them. */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (mappedPrefix.every((byte, index) => bytes[index] === byte))
    return `${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}` as Address
  return formatIpv6(bytes) as Address
}

/** Compares by number, IPv4 before IPv6. */
export function compareAddresses(a: Address, b: Address): number {
  if (familyOf(a) !== familyOf(b)) return familyOf(a) - familyOf(b)
  const [left, right] = [addressBytes(a), addressBytes(b)]
  for (let index = 0; index < 16; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

export function addressToBigint(address: Address): bigint {
  return addressBytes(address).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n)
}

export function addressFromBigint(value: bigint): Address {
  const bytes = new Uint8Array(16)
  for (let index = 15, rest = value; index >= 0; index--, rest >>= 8n) bytes[index] = Number(rest & 0xffn)
  return addressFromBytes(bytes)
}

function parseOctet(text: string): number | undefined {
  return /^(0|[1-9]\d{0,2})$/.test(text) && Number(text) <= 255 ? Number(text) : undefined
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.')
  const octets = parts.map(parseOctet)
  if (parts.length !== 4 || octets.includes(undefined)) return undefined
  return Uint8Array.from([...mappedPrefix, ...(octets as number[])])
}

/** A trailing IPv4 part stands for two groups (RFC 4291 section 2.2). */
function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head, tail] = halves.map((half) => (half === '' ? [] : parseGroups(half)))
  if (head === undefined) return undefined
  if (halves.length === 1) return head.length === 8 ? bytesOfGroups(head) : undefined
  if (tail === undefined || head.length + tail.length > 7) return undefined
  if (halves[0]?.includes('.')) return undefined
  return bytesOfGroups([...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail])
}

function parseGroups(text: string): number[] | undefined {
  const parts = text.split(':')
  const groups: number[] = []
  for (const [index, part] of parts.entries()) {
    if (part.includes('.')) {
      const ipv4 = index === parts.length - 1 ? parseIpv4(part) : undefined
      if (ipv4 === undefined) return undefined
      groups.push(((ipv4[12] ?? 0) << 8) | (ipv4[13] ?? 0), ((ipv4[14] ?? 0) << 8) | (ipv4[15] ?? 0))
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined
      groups.push(Number.parseInt(part, 16))
    }
  }
  return groups
}

function bytesOfGroups(groups: readonly number[]): Uint8Array {
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]))
}

/** RFC 5952: lower case, no leading zeros. The first of the longest runs of two or more zero groups is shortened. */
function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from(
    { length: 8 },
    (_, index) => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0),
  )
  let [start, length] = [0, 1]
  for (let from = 0; from < 8; from++) {
    let to = from
    while (to < 8 && groups[to] === 0) to++
    if (to - from > length) [start, length] = [from, to - from]
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':')
  if (length < 2) return text(groups)
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`
}

/** fe80::/10 (RFC 4291 section 2.5.6). */
export function isLinkLocal(address: Address): boolean {
  return /^fe[89ab]/.test(address)
}

/** An address with a port, as URLs have it: `192.0.2.7:443`, `[2001:db8::7]:443`. */
export function endText(address: Address, port: number): string {
  return familyOf(address) === 4 ? `${address}:${port}` : `[${address}]:${port}`
}
