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

/** A pool is crowded towards a destination if more than 5 of 8 ports are taken there: of 32 tries one in 3 million fails. */
export function isCrowded({ taken, size }: Fullness): boolean {
  return size === 0 || taken * 8 > size * 5
}

/** How full a pool is towards one destination, in ports. */
export interface Fullness {
  readonly taken: number
  readonly size: number
}

/** Blocks with which half of the ports would be free towards the destination that has most. */
export function blocksForFlows(flows: number): number {
  return Math.ceil((2 * flows) / portsPerBlock)
}

/** A large node grows by no more than so many blocks at a time: 1,024 ports. */
const maxStepBlocks = 64

interface Situation {
  readonly inUse: number
  readonly needed: number
  readonly isCrowded: boolean
  readonly nowMs: number
}

/**
 * A node that runs low requests twice the blocks that it uses, but at most 64 blocks more. It raises the request only when it
 * uses what it was granted, or when the operator has not answered for a while. `needed` is counted and not guessed, so it is
 * requested at once.
 */
export function raiseRequest(
  request: LeaseRequest | undefined,
  { inUse, needed, isCrowded, nowMs }: Situation,
): LeaseRequest {
  const before = request?.blocks ?? 0
  if (!isCrowded && needed <= before) return request ?? { blocks: 0, askedAtMs: nowMs }
  const isAnswered = request === undefined || inUse >= before || nowMs - request.askedAtMs >= requestTimeoutMs
  if (!isAnswered && needed <= before) return request
  const step = Math.min(inUse, maxStepBlocks)
  const blocks = Math.max(firstGrantBlocks, isAnswered && isCrowded ? inUse + step : 0, needed, before)
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
  /** How many flows each block has. */
  readonly flows?: ReadonlyMap<number, number>
  /** Blocks that new flows may not have any more. */
  readonly unusable?: ReadonlySet<number>
  /** How many blocks other nodes lack. */
  readonly asked?: number
  /** Without these the node has no port of the address. */
  readonly isAllThereIs?: boolean
}

interface Release {
  readonly leaving: ReadonlySet<number>
  readonly released: ReadonlySet<number>
}

/**
 * Which leased blocks leave the pool, and which are released. A block leaves when it has been idle for `idleMs`, the lowest port
 * first, because blocks are granted from the highest port down. If other nodes lack blocks, that many leave at once, those with
 * the fewest flows first. A block is released at a later call, when no flow uses it.
 */
export function planRelease(holding: Holding, idleMs: number, nowMs: number): Release {
  const { used, usedAtMs, flows, unusable, asked = 0, isAllThereIs = false } = holding
  const held = [...holding.held].sort((a, b) => a - b)
  const released = held.filter(
    (block) => holding.released.has(block) || (holding.leaving.has(block) && !used.has(block)),
  )
  const isReleased = new Set(released)
  const rest = held.filter((block) => !isReleased.has(block))
  const kept = used.size > 0 || isAllThereIs ? blocksKept : 0
  const isIdle = (block: number): boolean =>
    holding.leaving.has(block) || (!used.has(block) && nowMs - (usedAtMs.get(block) ?? nowMs) >= idleMs)
  const idle = rest.slice(0, Math.max(rest.length - kept, 0)).filter(isIdle)
  const leaving = new Set([...idle, ...rest.filter((block) => unusable?.has(block))])
  const others = rest.filter((block) => !leaving.has(block))
  others.sort((a, b) => (flows?.get(a) ?? 0) - (flows?.get(b) ?? 0))
  const lacking = asked - released.length - leaving.size
  for (const block of others.slice(0, Math.max(lacking, 0))) leaving.add(block)
  return { leaving, released: isReleased }
}
