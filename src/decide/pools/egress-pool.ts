import { type Address, addressFromBigint, addressToBigint, type Family } from '../../net/address.ts'
import {
  contains,
  familyOfPrefix,
  lastAddress,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../../net/prefix.ts'

/** The egress IP of each family. */
export type EgressIps = Readonly<Partial<Record<Family, Address>>>

/** The addresses that each gateway of a group got from its policy's pool, by node IP. */
export type Grants = ReadonlyMap<Address, EgressIps>

/** A policy's prefixes without those of older policies. If two policies name an address, it belongs to the older one. */
export interface EgressPool {
  readonly prefixes: readonly Prefix[]
  readonly olderPrefixes: readonly Prefix[]
  /** Addresses that have another meaning on a link of a node. */
  readonly reserved?: ReadonlySet<Address>
}

/** The gateways of one group, by node IP. */
export interface PoolGroup {
  /** Gateways that need an address. */
  readonly active: readonly Address[]
  /** Gateways that are unavailable for now. They keep their addresses, unless an active gateway would have none. */
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
 * IPv4: the network address and the broadcast address, except in a /31 (RFC 3021) and a /32. IPv6: the anycast address of
 * routers (RFC 4291 section 2.6.1), except in a /127 (RFC 6164) and a /128.
 */
function isReservedIn(prefix: Prefix, address: Address): boolean {
  const isIpv4 = familyOfPrefix(prefix) === 4
  if (prefixLength(prefix) >= (isIpv4 ? 31 : 127)) return false
  return address === prefixAddress(prefix) || (isIpv4 && address === lastAddress(prefix))
}

/** The addresses of a prefix that no host can have. */
export function reservedOf(prefix: Prefix): readonly Address[] {
  return [prefixAddress(prefix), lastAddress(prefix)].filter((address) => isReservedIn(prefix, address))
}

/**
 * Chooses an address for each gateway of a policy. Addresses from earlier grants stay. Then free addresses are given in the
 * order of the prefixes. `addressesInUse` are never given, because nodes have them, or policies name them.
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

/** Grants addresses of one family. Returns the active gateways that get none. */
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

/** The free addresses, in order. Skips an older policy's prefix at once, because a /64 may have 2^63 addresses of one. */
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
