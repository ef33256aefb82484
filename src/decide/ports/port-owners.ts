import type { PortLease } from '../../api/egress-address.ts'
import {
  blockOfPort,
  blocksOfRange,
  blocksPerSlot,
  type PortRange,
  portBlocks,
  regions,
} from '../../net/ports.ts'

/**
 * The owner of a block: a slot, or this node whatever its slot, or none. `stack` means that no node may own it, and that its
 * packets are left to the stack.
 */
type BlockOwner = number | 'self' | 'stack' | undefined
export type BlockOwners = readonly BlockOwner[]

/** Whether the address is a node's own. If so, the node's sockets use most of its ports. */
export type AddressOwner = 'nobody' | 'thisNode' | 'anotherNode'

/** What decides about the blocks of all egress IPs. */
export interface PortLayout {
  readonly slots: number
  /** Slots that nodes have. */
  readonly taken: ReadonlySet<number>
  /** Blocks that new flows may use. */
  readonly usable: ReadonlySet<number>
}

/**
 * The slot that owns each block of an address, by its floor or by a lease, which wins. A block that new flows may not use
 * still belongs to its owner, because earlier flows may have it. So nodes that read different settings never disagree about
 * an owner.
 */
export function blockOwners(
  owner: AddressOwner,
  { slots, taken, usable }: PortLayout,
  leases: readonly PortLease[],
): BlockOwners {
  const isFree = owner === 'nobody'
  const owners: BlockOwner[] = Array.from({ length: portBlocks }, (_, block) =>
    isFree && !usable.has(block) ? 'stack' : undefined,
  )
  fillFloor(owners, isFree ? regions.floor : regions.shared, slots, (slot) => taken.has(slot))
  fillLeases(owners, isFree ? leasable : regions.shared, leases)
  if (owner === 'thisNode') for (const block of blocksOfRange(regions.masquerade)) owners[block] = 'self'
  return owners
}

/** The floors are part of it, because floors of unused slots are leased, too. */
const leasable: PortRange = { first: regions.lease.first, last: regions.floor.last }

function fillFloor(
  owners: BlockOwner[],
  region: PortRange,
  slots: number,
  isTaken: (slot: number) => boolean,
): void {
  const first = blockOfPort(region.first)
  const each = blocksPerSlot(region, slots)
  for (let slot = 0; slot < slots; slot++)
    for (let block = first + slot * each; block < first + (slot + 1) * each; block++)
      if (owners[block] !== 'stack' || isTaken(slot)) owners[block] = slot
}

/** If two leases contain a block, the first one in the list counts. A port must never have two owners. */
function fillLeases(owners: BlockOwner[], region: PortRange, leases: readonly PortLease[]): void {
  const [least, most] = [blockOfPort(region.first), blockOfPort(region.last)]
  for (const { firstPort, blocks, slot } of leases.toReversed()) {
    const first = blockOfPort(firstPort)
    const [from, past] = [Math.max(first, least), Math.min(first + blocks, most + 1)]
    for (let block = from; block < past; block++) owners[block] = slot
  }
}
