import type { EgressNode } from '../api/egress-node.ts'

/**
 * Which slot each node has. Should two claim one (an object that somebody edited), the older keeps it and the other
 * has none: a port must never have two owners.
 */
export function slotsByNode(egressNodes: readonly EgressNode[]): ReadonlyMap<string, number> {
  const taken = new Set<number>()
  const slots = new Map<string, number>()
  const age = ({ metadata }: EgressNode): string => `${metadata.creationTimestamp ?? '9999'} ${metadata.name}`
  for (const node of [...egressNodes].sort((a, b) => (age(a) < age(b) ? -1 : 1))) {
    const slot = node.spec?.slot
    if (slot === undefined || taken.has(slot)) continue
    taken.add(slot)
    slots.set(node.metadata.name, slot)
  }
  return slots
}

/**
 * The lowest free slot, or undefined when all are given: slots are given from the bottom up. One whose floor has been
 * leased away is not given: with two objects to look at, its node could take the floor for its own before it knows of the
 * lease. When only such slots are left, a node gets a number beyond the floor, and all its ports by lease.
 */
export function freeSlot(
  taken: ReadonlySet<number>,
  slots: number,
  withLeasedFloor: ReadonlySet<number> = new Set(),
): number | undefined {
  if (taken.size >= slots) return undefined
  for (let slot = 0; ; slot++)
    if (!taken.has(slot) && (slot >= slots || !withLeasedFloor.has(slot))) return slot
}
