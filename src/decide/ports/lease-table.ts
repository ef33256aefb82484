import type { EgressAddress, PortLease } from '../../api/egress-address.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import { blockBits, blockOfPort, portBlocks } from '../../net/ports.ts'
import { oncePerObject } from '../once-per-object.ts'
import type { Return } from './fair-shares.ts'

/** The lease of a block. If it is ending, replies still go to its node, but new flows may not use it. */
export interface LeasedBlock {
  readonly slot: number
  readonly isEnding: boolean
}

/** The lease of each block. */
export type LeaseTable = (LeasedBlock | undefined)[]

/** If two leases contain a block, the first one in the list counts. A port must never have two owners. */
export function tableOfLeases(leases: readonly PortLease[]): LeaseTable {
  const table: LeaseTable = new Array(portBlocks).fill(undefined)
  for (const { firstPort, blocks, slot, isEnding = false } of leases.toReversed()) {
    const first = blockOfPort(firstPort)
    for (let block = first; block < Math.min(first + blocks, portBlocks); block++)
      table[block] = { slot, isEnding }
  }
  return table
}

/** The same table for the same list, shared and read-only. */
export const leaseTableOf: (leases: readonly PortLease[]) => Readonly<LeaseTable> =
  oncePerObject(tableOfLeases)

/** The shortest list of leases for this table, sorted by port. */
export function leasesOfTable(table: Readonly<LeaseTable>): PortLease[] {
  const leases: { firstPort: number; blocks: number; slot: number; isEnding?: boolean }[] = []
  for (const [block, entry] of table.entries()) {
    if (entry === undefined) continue
    const { slot, isEnding } = entry
    const last = leases.at(-1)
    const continues =
      last !== undefined &&
      blockOfPort(last.firstPort) + last.blocks === block &&
      last.slot === slot &&
      (last.isEnding ?? false) === isEnding
    if (continues) last.blocks++
    else leases.push({ firstPort: block << blockBits, blocks: 1, slot, ...(isEnding ? { isEnding } : {}) })
  }
  return leases
}

/** The blocks of the ranges in a status. They can be out of bounds. */
export function blocksOfRanges(
  ranges: readonly { readonly firstPort: number; readonly blocks: number }[],
): ReadonlySet<number> {
  return new Set(
    ranges.flatMap(({ firstPort, blocks }) =>
      Array.from({ length: blocks }, (_, index) => blockOfPort(firstPort) + index),
    ),
  )
}

/** The shortest list of ranges with these blocks. */
export function rangesOfBlocks(blocks: Iterable<number>): { firstPort: number; blocks: number }[] {
  const ranges: { firstPort: number; blocks: number }[] = []
  for (const block of [...blocks].sort((a, b) => a - b)) {
    const last = ranges.at(-1)
    if (last !== undefined && blockOfPort(last.firstPort) + last.blocks === block) last.blocks++
    else ranges.push({ firstPort: block << blockBits, blocks: 1 })
  }
  return ranges
}

/** The leases of one address. */
export interface AddressLeases {
  readonly leases: readonly PortLease[]
  /** Grows with every change of the leases. */
  readonly revision: number
  /** The object's uid. Revisions of an earlier object of the same name do not count. */
  readonly uid: string | undefined
  /** Nodes want more than there is. */
  readonly isShort?: boolean
  /** What slots are to return. */
  readonly returns?: readonly Return[]
}

const readAddress = oncePerObject(
  (object: EgressAddress): (AddressLeases & { address: Address }) | undefined => {
    const address = parseAddress(object.spec.address)
    const { generation = 0, uid } = object.metadata
    const { leases = [], isShort = false, returns = [] } = object.spec
    return address && { address, leases, revision: generation, uid, isShort, returns }
  },
)

/** Two objects for one address are read as one, the older first. Every node must read them in the same order. */
export function leasesByAddress(objects: readonly EgressAddress[]): ReadonlyMap<Address, AddressLeases> {
  const found = new Map<Address, AddressLeases>()
  for (const object of objects.toSorted(byAge)) {
    const read = readAddress(object)
    if (read === undefined) continue
    const { address, ...younger } = read
    const older = found.get(address)
    found.set(address, older === undefined ? younger : joined(older, younger))
  }
  return found
}

function joined(older: AddressLeases, younger: AddressLeases): AddressLeases {
  return {
    leases: [...older.leases, ...younger.leases],
    revision: older.revision + younger.revision,
    uid: `${older.uid} ${younger.uid}`,
  }
}

function byAge(a: EgressAddress, b: EgressAddress): number {
  const [one, other] = [a, b].map(
    ({ metadata: { creationTimestamp, name } }) => `${creationTimestamp ?? '9999'} ${name}`,
  )
  return one! < other! ? -1 : 1
}
