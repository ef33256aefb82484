import type { EgressNode } from '../../api/egress-node.ts'
import { freeSlot, type LeasedSlots, slotsByNode } from './slots.ts'

/** A write of the operator, so that every node has a slot. */
export type SlotChange =
  | { readonly action: 'create'; readonly node: string; readonly uid: string; readonly slot: number }
  | { readonly action: 'grant'; readonly egressNode: EgressNode; readonly slot: number }
  | { readonly action: 'remove'; readonly egressNode: EgressNode }
  | { readonly action: 'refuse'; readonly node: string; readonly reason: string }

/** How long a node must have been deleted before its ports are free. It may still run and send packets. */
export const nodeGoneForMs = 240_000

/**
 * Grants each node the lowest free slot, once. Reclaims the slot of a node that was deleted four minutes ago. `goneSinceMs`: when
 * each missing node was first seen missing, by name.
 */
export function planSlots(
  nodes: readonly { readonly name: string; readonly uid: string }[],
  egressNodes: readonly EgressNode[],
  slots: number,
  goneSinceMs: ReadonlyMap<string, number>,
  nowMs: number,
  leased: LeasedSlots = { withLeases: new Set(), withLeasedFloor: new Set() },
): readonly SlotChange[] {
  const changes: SlotChange[] = []
  const held = slotsByNode(egressNodes)
  const taken = new Set(egressNodes.flatMap(({ spec }) => spec?.slot ?? []))
  const existing = new Map(egressNodes.map((egressNode) => [egressNode.metadata.name, egressNode]))
  for (const { name, uid } of [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (held.has(name)) continue
    const slot = freeSlot(taken, slots, leased)
    if (slot === undefined) {
      changes.push({ action: 'refuse', node: name, reason: `all ${slots} slots are in use` })
      continue
    }
    taken.add(slot)
    const egressNode = existing.get(name)
    changes.push(
      egressNode === undefined
        ? { action: 'create', node: name, uid, slot }
        : { action: 'grant', egressNode, slot },
    )
  }
  for (const egressNode of goneNodes(nodes, egressNodes, goneSinceMs, nowMs)) {
    const { slot } = egressNode.spec ?? {}
    if (slot === undefined || !leased.withLeases.has(slot)) changes.push({ action: 'remove', egressNode })
  }
  return changes
}

/** Nodes that were deleted long enough ago for their ports to be free. Their leases end first, and then their slots. */
export function goneNodes(
  nodes: readonly { readonly name: string }[],
  egressNodes: readonly EgressNode[],
  goneSinceMs: ReadonlyMap<string, number>,
  nowMs: number,
): readonly EgressNode[] {
  const present = new Set(nodes.map(({ name }) => name))
  return egressNodes.filter(({ metadata: { name } }) => {
    const since = goneSinceMs.get(name)
    return !present.has(name) && since !== undefined && nowMs - since >= nodeGoneForMs
  })
}
