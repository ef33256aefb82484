import type { EgressNode } from '../../api/egress-node.ts'

/**
 * The slot of each node. If two EgressNodes have the same slot because a user edited one, the older one keeps it and the other
 * node has none. A port must never have two owners.
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

/** Slots that cannot be granted, because of leases. */
export interface LeasedSlots {
  /** Slots with leases. */
  readonly withLeases: ReadonlySet<number>
  /** Slots with a floor of which another slot leases a part. */
  readonly withLeasedFloor: ReadonlySet<number>
}

/**
 * The lowest free slot. Undefined if all are in use. Two kinds of slots are not free:
 *
 * - Another slot leases a part of its floor. Slot and lease are in two objects, so a new node could use its floor before it
 *   knows the lease. If only such slots are left, a node gets a number without a floor, and all its ports by lease.
 * - It has leases of a node whose EgressNode was deleted. That node may not know yet that it was deleted.
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

/** Slots with leases that belong to no node, for example because a user deleted the EgressNode. */
export function orphanedSlots(
  { withLeases }: LeasedSlots,
  egressNodes: readonly EgressNode[],
): readonly number[] {
  const taken = new Set(egressNodes.flatMap(({ spec }) => spec?.slot ?? []))
  return [...withLeases].filter((slot) => !taken.has(slot))
}
