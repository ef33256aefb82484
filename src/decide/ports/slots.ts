import type { EgressNode } from '../../api/egress-node.ts'

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

/** Slots that leases have to do with. */
export interface LeasedSlots {
  /** Those that have leases. */
  readonly withLeases: ReadonlySet<number>
  /** Those of whose floor something has been leased. */
  readonly withLeasedFloor: ReadonlySet<number>
}

/**
 * The lowest free slot, or undefined when all are given: slots are given from the bottom up. One whose floor has been
 * leased away is not given: with two objects to look at, its node could take the floor for its own before it knows of the
 * lease. When only such slots are left, a node gets a number beyond the floor, and all its ports by lease. Nor is one given
 * that has leases still: they are those of a node whose EgressNode is gone, and that may not have heard of it.
 */
export function freeSlot(
  taken: ReadonlySet<number>,
  slots: number,
  { withLeases, withLeasedFloor }: LeasedSlots,
): number | undefined {
  if (taken.size >= slots) return undefined
  for (let slot = 0; ; slot++) {
    const isWhole = slot >= slots || !withLeasedFloor.has(slot)
    if (isWhole && !taken.has(slot) && !withLeases.has(slot)) return slot
  }
}

/** Slots that have leases and are nobody's, as after an EgressNode was deleted by hand. */
export function orphanedSlots(
  { withLeases }: LeasedSlots,
  egressNodes: readonly EgressNode[],
): readonly number[] {
  const taken = new Set(egressNodes.flatMap(({ spec }) => spec?.slot ?? []))
  return [...withLeases].filter((slot) => !taken.has(slot))
}
