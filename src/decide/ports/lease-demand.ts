import { portsPerBlock } from '../../net/ports.ts'

/*
 * How many ports of one egress IP a node requests by lease, and which it releases.
 */

/** The first grant: 64 ports. */
const firstGrantBlocks = 4
/** After this time without a grant, the operator is down or has no ports left, and the node asks again. */
const requestTimeoutMs = 1_000
/** This many blocks stay while there are flows, for the next burst. */
const blocksKept = 4

/** Counts the flows that find no port, for one second. The same flows try again later and would be counted twice. */
export interface Window {
  readonly sinceMs: number
  /** The pool's total of refused flows when the window began. */
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

/** The blocks of which these flows would take half. Ports are tried at random, so a fuller pool would refuse too many. */
export function neededBlocks({ refusedBefore, inUseBefore }: Window, refused: number): number {
  return refused === refusedBefore
    ? 0
    : inUseBefore + Math.ceil((2 * (refused - refusedBefore)) / portsPerBlock)
}

export interface LeaseRequest {
  /** The total number of blocks, not an increase. */
  readonly blocks: number
  readonly askedAtMs: number
}

/**
 * A node that runs low asks for twice the blocks that it uses. It raises the request only when it uses what it was granted, or
 * when the operator has not answered for a while. `needed` is counted and not guessed, so it is requested at once.
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

/** All blocks of ports 1024 to 65535. */
const maxBlocks = 4032

export interface Holding {
  /** The leased blocks, without those that are ending. */
  readonly held: readonly number[]
  /** The blocks with ports of open flows, leased or not. */
  readonly used: ReadonlySet<number>
  /** When a flow last used the block. */
  readonly usedAtMs: ReadonlyMap<number, number>
  /** The blocks that new flows no longer use. */
  readonly leaving: ReadonlySet<number>
  readonly released: ReadonlySet<number>
}

interface Release {
  readonly leaving: ReadonlySet<number>
  readonly released: ReadonlySet<number>
}

/**
 * Which leased blocks leave the pool, and which are released. A block leaves when it has been idle for `idleMs`, the lowest port
 * first, because blocks are granted from the highest port down. It is released at a later call, when no flow uses it.
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
