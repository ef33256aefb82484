import { type Address, addressFromBigint, addressToBigint, type Family } from '../../net/address.ts'
import {
  contains,
  familyOfPrefix,
  lastAddress,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../../net/prefix.ts'

/** Of each family the address that traffic leaves with. */
export type EgressIps = Readonly<Partial<Record<Family, Address>>>

/** What each gateway of a group was given from its policy's pool, by node IP. */
export type Grants = ReadonlyMap<Address, EgressIps>

/** A policy's prefixes, less those of older policies: of two that name an address it is the older's. */
export interface EgressPool {
  readonly prefixes: readonly Prefix[]
  readonly olderPrefixes: readonly Prefix[]
  /** Addresses that mean something else on a link of a node. */
  readonly reserved?: ReadonlySet<Address>
}

/** The gateways of one group, by node IP. */
export interface PoolGroup {
  /** Each is to have an address. */
  readonly active: readonly Address[]
  /** Gone for now: they keep what they have, unless an active one would have none. */
  readonly absent: readonly Address[]
  readonly granted: Grants
}

interface PoolDecision {
  readonly groups: readonly Grants[]
  /** Active gateways that lack an address of a family that the pool has. */
  readonly unserved: ReadonlySet<Address>
}

export function isOfPool({ prefixes, olderPrefixes, reserved }: EgressPool, address: Address): boolean {
  return (
    !reserved?.has(address) &&
    prefixes.some((prefix) => contains(prefix, address) && !isReservedIn(prefix, address)) &&
    !olderPrefixes.some((prefix) => contains(prefix, address))
  )
}

/**
 * IPv4: the network's own address and broadcast, but for /31 (RFC 3021) and /32.
 * IPv6: the routers' anycast address (RFC 4291 section 2.6.1), but for /127 (RFC 6164) and /128.
 */
function isReservedIn(prefix: Prefix, address: Address): boolean {
  const isIpv4 = familyOfPrefix(prefix) === 4
  if (prefixLength(prefix) >= (isIpv4 ? 31 : 127)) return false
  return address === prefixAddress(prefix) || (isIpv4 && address === lastAddress(prefix))
}

/** The addresses of a prefix that no host has. */
export function reservedOf(prefix: Prefix): readonly Address[] {
  return [prefixAddress(prefix), lastAddress(prefix)].filter((address) => isReservedIn(prefix, address))
}

/**
 * Which address each gateway of a policy has. What was given before is read first and stays; then addresses are given in
 * the order of the prefixes. `addressesInUse` are never given: nodes have them, or policies name them.
 */
export function grantFromPool(
  pool: EgressPool,
  groups: readonly PoolGroup[],
  addressesInUse: ReadonlySet<Address>,
): PoolDecision {
  const granted = groups.map(() => new Map<Address, EgressIps>())
  const unserved = new Set<Address>()
  for (const family of new Set(pool.prefixes.map(familyOfPrefix)))
    for (const { group, gateway, address } of grantFamily(family, pool, groups, addressesInUse))
      if (address === undefined) unserved.add(gateway)
      else granted[group]?.set(gateway, { ...granted[group]?.get(gateway), [family]: address })
  return { groups: granted, unserved }
}

interface Seat {
  readonly group: number
  readonly gateway: Address
  address: Address | undefined
}

/** Of one family; active gateways that are left without an address are among them, absent ones are not. */
function grantFamily(
  family: Family,
  pool: EgressPool,
  groups: readonly PoolGroup[],
  addressesInUse: ReadonlySet<Address>,
): readonly Seat[] {
  const used = new Set<Address>()
  const seat = (group: number, gateway: Address): Seat => {
    const held = groups[group]?.granted.get(gateway)?.[family]
    const address = held !== undefined && isOfPool(pool, held) && !used.has(held) ? held : undefined
    if (address !== undefined) used.add(address)
    return { group, gateway, address }
  }
  const active = groups.flatMap((group, index) => group.active.map((gateway) => seat(index, gateway)))
  const absent = groups
    .flatMap((group, index) => group.absent.map((gateway) => seat(index, gateway)))
    .filter(({ address }) => address !== undefined)
  const free = freeAddresses(family, pool)
  for (const each of active) each.address ??= nextFree(free, used, addressesInUse) ?? absent.shift()?.address
  return [...active, ...absent]
}

function nextFree(
  free: Iterator<Address>,
  used: Set<Address>,
  addressesInUse: ReadonlySet<Address>,
): Address | undefined {
  for (let next = free.next(); next.done !== true; next = free.next())
    if (!used.has(next.value) && !addressesInUse.has(next.value)) {
      used.add(next.value)
      return next.value
    }
  return undefined
}

/** In order. Steps over an older policy's prefix at once: inside a /64 there may be 2^63 addresses of one. */
function* freeAddresses(
  family: Family,
  { prefixes, olderPrefixes, reserved }: EgressPool,
): Generator<Address> {
  for (const prefix of prefixes.filter((each) => familyOfPrefix(each) === family)) {
    const end = addressToBigint(lastAddress(prefix))
    for (let at = addressToBigint(prefixAddress(prefix)); at <= end; at++) {
      const address = addressFromBigint(at)
      const older = olderPrefixes.find((each) => contains(each, address))
      if (older !== undefined) at = addressToBigint(lastAddress(older))
      else if (!isReservedIn(prefix, address) && !reserved?.has(address)) yield address
    }
  }
}
