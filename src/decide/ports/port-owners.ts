import type { PortLease } from '../../api/egress-address.ts'
import {
  blockOfPort,
  blocksOfRange,
  blocksPerSlot,
  type PortRange,
  portBlocks,
  regions,
} from '../../net/ports.ts'

/** The owner of each block: a slot, this node itself (for masquerading), or none. */
export type BlockOwners = readonly (number | 'self' | undefined)[]

/** Whether the address is a node's own. Then the node's sockets use most of its ports. */
export type AddressOwner = 'nobody' | 'thisNode' | 'anotherNode'

/** Which slot owns each block of an address. A lease takes precedence over a floor. */
export function blockOwners(owner: AddressOwner, slots: number, leases: readonly PortLease[]): BlockOwners {
  const owners: (number | 'self' | undefined)[] = new Array(portBlocks).fill(undefined)
  const isFree = owner === 'nobody'
  fillFloor(owners, isFree ? regions.floor : regions.shared, slots)
  fillLeases(owners, isFree ? leasable : regions.shared, leases)
  if (owner === 'thisNode') for (const block of blocksOfRange(regions.masquerade)) owners[block] = 'self'
  return owners
}

/** The floors are part of it, because floors of unused slots are leased, too. */
const leasable: PortRange = { first: regions.lease.first, last: regions.floor.last }

function fillFloor(owners: (number | 'self' | undefined)[], region: PortRange, slots: number): void {
  const first = blockOfPort(region.first)
  const each = blocksPerSlot(region, slots)
  for (let slot = 0; slot < slots; slot++)
    for (let block = 0; block < each; block++) owners[first + slot * each + block] = slot
}

/** If two leases contain a block, the first one in the list counts. A port must never have two owners. */
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
