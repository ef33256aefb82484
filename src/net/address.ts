/**
 * An IP address as text in its canonical form (RFC 5952 for IPv6; an IPv4-mapped one is written as IPv4),
 * so that two equal addresses are equal strings and can be keys of a Map.
 * Only parseAddress makes one.
 */
export type Address = string & { readonly __brand: 'Address' }
export type Family = 4 | 6
