import type { PortLease } from '../../api/egress-address.ts'
import {
  blockOfPort,
  blocksOfRange,
  blocksPerSlot,
  type PortRange,
  portBlocks,
  regions,
} from '../../net/ports.ts'

/** By block: the slot that owns it, this very node whatever its slot, or nobody. */
export type BlockOwners = readonly (number | 'self' | undefined)[]

/** Whose address it is decides which of its ports may be used: a node's own sockets use the others. */
export type AddressOwner = 'nobody' | 'thisNode' | 'anotherNode'

/** Which slot owns each block of an address: the floor, and the leases, which beat it. */
export function blockOwners(owner: AddressOwner, slots: number, leases: readonly PortLease[]): BlockOwners {
  const owners: (number | 'self' | undefined)[] = new Array(portBlocks).fill(undefined)
  const isFree = owner === 'nobody'
  fillFloor(owners, isFree ? regions.floor : regions.shared, slots)
  fillLeases(owners, isFree ? leasable : regions.shared, leases)
  if (owner === 'thisNode') for (const block of blocksOfRange(regions.masquerade)) owners[block] = 'self'
  return owners
}

/** Slots are few in a small cluster: the floors of those not given out are leased, too. */
const leasable: PortRange = { first: regions.lease.first, last: regions.floor.last }

function fillFloor(owners: (number | 'self' | undefined)[], region: PortRange, slots: number): void {
  const first = blockOfPort(region.first)
  const each = blocksPerSlot(region, slots)
  for (let slot = 0; slot < slots; slot++)
    for (let block = 0; block < each; block++) owners[first + slot * each + block] = slot
}

/** Should two leases claim a block, the one that stands first has it: a port must never have two owners. */
function fillLeases(
  owners: (number | 'self' | undefined)[],
  region: PortRange,
  leases: readonly PortLease[],
): void {
  const [least, most] = [blockOfPort(region.first), blockOfPort(region.last)]
  for (const { firstPort, blocks, slot } of leases.toReversed()) {
    const first = blockOfPort(firstPort)
    const [from, past] = [Math.max(first, least), Math.min(first + blocks, most + 1)]
    for (let block = from; block < past; block++) owners[block] = slot
  }
}
