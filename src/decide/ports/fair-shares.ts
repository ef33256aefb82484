/* Which nodes return ports when an egress IP has too few for all: those that have more than their share. */

/** How many blocks a slot demands in total. */
export interface Demand {
  readonly slot: number
  readonly blocks: number
}

/** How many of its blocks a slot has to return. */
export interface Return {
  readonly slot: number
  readonly blocks: number
}

/** Small demands are met in full. The rest is split evenly among the large ones. */
export function fairShares(demands: readonly Demand[], total: number): ReadonlyMap<number, number> {
  const shares = new Map<number, number>()
  const inOrder = demands.toSorted((a, b) => a.blocks - b.blocks || a.slot - b.slot)
  let left = total
  for (const [index, { slot, blocks }] of inOrder.entries()) {
    const share = Math.min(blocks, Math.floor(left / (inOrder.length - index)))
    shares.set(slot, share)
    left -= share
  }
  return shares
}

/**
 * Asks each node with more than its share for all missing blocks, up to its surplus. It asks more than one node, because an
 * agent may not run. `coming` counts the blocks that are free already, or that nodes are returning.
 */
export function planReturns(
  demands: readonly Demand[],
  held: ReadonlyMap<number, number>,
  coming: number,
): readonly Return[] {
  const wanted = new Map(demands.map(({ slot, blocks }) => [slot, blocks]))
  const all = [...new Set([...held.keys(), ...wanted.keys()])].map((slot) => ({
    slot,
    blocks: wanted.get(slot) ?? 0,
  }))
  const total = [...held.values()].reduce((sum, blocks) => sum + blocks, coming)
  const shares = fairShares(all, total)
  const lacking = [...shares].reduce(
    (sum, [slot, share]) => sum + Math.max(share - (held.get(slot) ?? 0), 0),
    0,
  )
  const missing = lacking - coming
  if (missing <= 0) return []
  return [...held]
    .map(([slot, blocks]) => ({ slot, blocks: Math.min(blocks - (shares.get(slot) ?? 0), missing) }))
    .filter(({ blocks }) => blocks > 0)
    .sort((a, b) => a.slot - b.slot)
}
