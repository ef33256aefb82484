import type { Address } from '../../net/address.ts'
import { blockOfPort, blocksOfRange, blocksPerSlot, type PortRange, regions } from '../../net/ports.ts'
import type { AddressLeases } from './lease-table.ts'

/**
 * Slots that are given next, whose floors are not leased: they are for nodes that are yet to come. With five nodes and
 * 512 slots that leaves 64,512 - 32 x 64 = 62,464 ports to use, 97 %.
 */
const slotsLeftAlone = 32

/** What is given out so far. */
export interface Given {
  readonly slots: number
  readonly taken: ReadonlySet<number>
  readonly withLeasedFloor: ReadonlySet<number>
}

/** Slots whose floors may be leased. */
export function lendableSlots({ slots, taken, withLeasedFloor }: Given): ReadonlySet<number> {
  const free = Array.from({ length: slots }, (_, slot) => slot).filter((slot) => !taken.has(slot))
  const next = new Set(free.filter((slot) => !withLeasedFloor.has(slot)).slice(0, slotsLeftAlone))
  return new Set(free.filter((slot) => !next.has(slot)))
}

/**
 * Blocks of an address that may be leased, the next to go first: from the top down. Many firewalls admit only ports from
 * 32768 on, so the floors of slots that nobody has go before the lower half. Of a node's own address only what the node's
 * sockets do not use.
 */
export function leasableBlocks(
  isNodeAddress: boolean,
  { slots, usable }: { readonly slots: number; readonly usable: ReadonlySet<number> },
  lendable: ReadonlySet<number>,
): number[] {
  const region: PortRange = isNodeAddress ? regions.shared : regions.floor
  const floors = blocksOfRange(region).filter((block) => {
    const slot = slotOfFloor(region, slots, block)
    return slot === undefined || lendable.has(slot)
  })
  const lower = isNodeAddress ? [] : blocksOfRange(regions.lease)
  return [...floors.reverse(), ...lower.reverse()].filter((block) => usable.has(block))
}

/** Slots of whose floor something has been leased, of any address. */
export function slotsWithLeasedFloor(
  leases: ReadonlyMap<Address, AddressLeases>,
  nodeAddresses: ReadonlySet<Address>,
  slots: number,
): ReadonlySet<number> {
  const found = new Set<number>()
  for (const [address, { leases: granted }] of leases) {
    const region = nodeAddresses.has(address) ? regions.shared : regions.floor
    for (const { firstPort, blocks } of granted)
      for (let block = blockOfPort(firstPort); block < blockOfPort(firstPort) + blocks; block++) {
        const slot = slotOfFloor(region, slots, block)
        if (slot !== undefined) found.add(slot)
      }
  }
  return found
}

function slotOfFloor(region: PortRange, slots: number, block: number): number | undefined {
  const each = blocksPerSlot(region, slots)
  const slot = Math.floor((block - blockOfPort(region.first)) / each)
  return slot >= 0 && slot < slots ? slot : undefined
}
