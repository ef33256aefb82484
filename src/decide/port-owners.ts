import type { EgressAddress } from '../api/egress-address.ts'
import { type Address, parseAddress } from '../net/address.ts'
import { blockOfPort, blocksPerSlot, portBlocks, regions } from '../net/ports.ts'

/** By block: the slot that owns it, this very node whatever its slot, or nobody. */
export type BlockOwners = (number | 'self' | undefined)[]

/** Which slot owns each block of an egress IP that belongs to no node: the floor, and the leases, which beat it. */
export function floorOwners(
  slots: number,
  leases: NonNullable<EgressAddress['spec']['leases']> = [],
): BlockOwners {
  const owners: BlockOwners = new Array(portBlocks).fill(undefined)
  fillFloor(owners, regions.floor, slots)
  for (const { firstPort, blocks, slot } of leases) {
    const first = blockOfPort(firstPort)
    for (let block = first; block < Math.min(first + blocks, portBlocks); block++) owners[block] = slot
  }
  return owners
}

/** A node's own address is shared with its sockets: only the top quarter is used, and half of that by the node itself. */
export function ownAddressOwners(slots: number, isSelf: boolean): BlockOwners {
  const owners: BlockOwners = new Array(portBlocks).fill(undefined)
  fillFloor(owners, regions.shared, slots)
  if (isSelf)
    for (
      let block = blockOfPort(regions.masquerade.first);
      block <= blockOfPort(regions.masquerade.last);
      block++
    )
      owners[block] = 'self'
  return owners
}

function fillFloor(
  owners: BlockOwners,
  region: { readonly first: number; readonly last: number },
  slots: number,
): void {
  const first = blockOfPort(region.first)
  const each = blocksPerSlot(region, slots)
  for (let slot = 0; slot < slots; slot++)
    for (let block = 0; block < each; block++) owners[first + slot * each + block] = slot
}

export function leasesByAddress(
  addresses: readonly EgressAddress[],
): ReadonlyMap<Address, NonNullable<EgressAddress['spec']['leases']>> {
  return new Map(
    addresses.flatMap(({ spec }) => {
      const address = parseAddress(spec.address)
      return address === undefined ? [] : [[address, spec.leases ?? []] as const]
    }),
  )
}
