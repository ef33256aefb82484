/*
 * Who gives ports back when an egress IP has too few for all: those who have more than their share.
 */

/** So many blocks are wanted by a slot, in all. */
export interface Demand {
  readonly slot: number
  readonly blocks: number
}

/** So many blocks of those that it has, a slot is to return. */
export interface Return {
  readonly slot: number
  readonly blocks: number
}

/** Small demands are met whole; what is left is split evenly among the large ones. */
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
 * Each node with more than its share is asked for all that is missing, up to what it has too much: the agent of one of them
 * may not run. `coming`: blocks that are free already, or that their nodes are returning.
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
