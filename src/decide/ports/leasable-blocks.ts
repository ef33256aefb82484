import type { Address } from '../../net/address.ts'
import { blockOfPort, blocksOfRange, blocksPerSlot, type PortRange, regions } from '../../net/ports.ts'
import type { AddressLeases } from './lease-table.ts'

/**
 * How many of the next slots keep their floors, for nodes that will join.
 *
 *   ports of an egress IP, 1024 to 65535         64,512
 *   floors of 32 of 512 slots, 64 ports each      2,048
 *   left to five nodes                           62,464   97 %
 */
const slotsLeftAlone = 32

/** The slots that are in use. */
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
 * The blocks of an address that can be leased, in the order in which they are granted: from the highest port down. Floors of
 * unused slots come before the lower half of the ports, because many firewalls admit only ports from 32768 on. Of a node's own
 * address, only blocks that its sockets do not use.
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

/** Slots whose floors are partly leased to other slots, for any address. */
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
