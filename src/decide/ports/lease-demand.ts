import { portsPerBlock } from '../../net/ports.ts'

/*
 * How many ports of one egress IP a node requests by lease, and which it releases.
 */

/** The first grant: 64 ports. */
const firstGrantBlocks = 4
/** Without a grant for so long, the operator is down or has no ports left, and the node asks again. */
const requestTimeoutMs = 1_000
/** As many stay while there are flows: the next burst finds something. */
const blocksKept = 4

/** What a pool has refused within a second: those flows try again later, and then count anew. */
export interface Window {
  readonly sinceMs: number
  /** Flows that had found no port when it began, ever. */
  readonly refusedBefore: number
  readonly inUseBefore: number
}

const windowMs = 1_000

export function moveWindow(
  window: Window | undefined,
  { inUse, refused, nowMs }: { readonly inUse: number; readonly refused: number; readonly nowMs: number },
): Window {
  const isOpen = window !== undefined && nowMs - window.sinceMs < windowMs && refused >= window.refusedBefore
  return isOpen ? window : { sinceMs: nowMs, refusedBefore: refused, inUseBefore: inUse }
}

/** Blocks with which half would have stayed free, towards one destination: ports are tried at random. */
export function neededBlocks({ refusedBefore, inUseBefore }: Window, refused: number): number {
  return refused === refusedBefore
    ? 0
    : inUseBefore + Math.ceil((2 * (refused - refusedBefore)) / portsPerBlock)
}

export interface LeaseRequest {
  /** In blocks, in all. */
  readonly blocks: number
  readonly askedAtMs: number
}

/**
 * A node that runs low asks for twice what it has. One step per round trip: what was granted must be in use first, or
 * nobody has answered for a while. What the flows need that found no port is no guess, and does not wait.
 */
export function raiseRequest(
  request: LeaseRequest | undefined,
  { inUse, needed, nowMs }: { readonly inUse: number; readonly needed: number; readonly nowMs: number },
): LeaseRequest {
  const before = request?.blocks ?? 0
  const isAnswered = request === undefined || inUse >= before || nowMs - request.askedAtMs >= requestTimeoutMs
  if (!isAnswered && needed <= before) return request
  const blocks = Math.max(firstGrantBlocks, isAnswered ? 2 * inUse : 0, needed, before)
  return { blocks: Math.min(blocks, maxBlocks), askedAtMs: nowMs }
}

/** 1024 to 65535: more does not exist. */
const maxBlocks = 4032

export interface Holding {
  /** Blocks by lease, without those that are ending. */
  readonly held: readonly number[]
  /** Blocks that flows have now, leased or not. */
  readonly used: ReadonlySet<number>
  /** When a flow was last seen to have the block. */
  readonly usedAtMs: ReadonlyMap<number, number>
  /** Blocks that nothing new uses any more. */
  readonly leaving: ReadonlySet<number>
  readonly released: ReadonlySet<number>
}

interface Release {
  readonly leaving: ReadonlySet<number>
  readonly released: ReadonlySet<number>
}

/**
 * What has been idle for long leaves the pool, from the lowest port up, as it was granted from the top down; what has left
 * the pool by the look before and has no flow now is given back.
 */
export function planRelease(holding: Holding, idleMs: number, nowMs: number): Release {
  const { used, usedAtMs } = holding
  const held = [...holding.held].sort((a, b) => a - b)
  const released = held.filter(
    (block) => holding.released.has(block) || (holding.leaving.has(block) && !used.has(block)),
  )
  const isReleased = new Set(released)
  const rest = held.filter((block) => !isReleased.has(block))
  const kept = used.size > 0 ? blocksKept : 0
  const leaving = rest
    .slice(0, Math.max(rest.length - kept, 0))
    .filter(
      (block) =>
        holding.leaving.has(block) || (!used.has(block) && nowMs - (usedAtMs.get(block) ?? nowMs) >= idleMs),
    )
  return { leaving: new Set(leaving), released: isReleased }
}
