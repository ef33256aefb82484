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
 * By block: the slot that owns it, this very node whatever its slot, or nobody. `stack`: no node may ever own it, and what
 * comes for it is left to the stack.
 */
type BlockOwner = number | 'self' | 'stack' | undefined
export type BlockOwners = readonly BlockOwner[]

/** Whether the address is a node's own. Then the node's sockets use most of its ports. */
export type AddressOwner = 'nobody' | 'thisNode' | 'anotherNode'

/** What decides about the blocks of all egress IPs. */
export interface PortLayout {
  readonly slots: number
  /** Slots that nodes have. */
  readonly taken: ReadonlySet<number>
  /** Blocks that new flows may have. */
  readonly usable: ReadonlySet<number>
}

/**
 * Which slot owns each block of an address: the floor, and the leases, which beat it. A block that new flows may not have
 * stays its owner's, because earlier flows may still have it. So nodes that read different settings never disagree about
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

/** Should two leases claim a block, the one that stands first has it: a port must never have two owners. */
function fillLeases(owners: BlockOwner[], region: PortRange, leases: readonly PortLease[]): void {
  const [least, most] = [blockOfPort(region.first), blockOfPort(region.last)]
  for (const { firstPort, blocks, slot } of leases.toReversed()) {
    const first = blockOfPort(firstPort)
    const [from, past] = [Math.max(first, least), Math.min(first + blocks, most + 1)]
    for (let block = from; block < past; block++) owners[block] = slot
  }
}
