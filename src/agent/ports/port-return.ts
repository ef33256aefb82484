import { isDeepStrictEqual } from 'node:util'
import { blocksForFlows, planRelease } from '../../decide/ports/lease-demand.ts'
import type { Address } from '../../net/address.ts'
import {
  type AddressUse,
  type BlocksByAddress,
  floorBlocks,
  type PortState,
  type PortStep,
  union,
} from './port-state.ts'

/**
 * Leaving blocks that are returned even if this node runs low, because other nodes lack ports or new flows may not use the
 * blocks.
 */
export function blocksToReturn(
  { leaving, released, short, usable }: PortState,
  address: Address,
): ReadonlySet<number> {
  const all = [...(leaving.get(address) ?? [])]
  const asked = Math.max((short.get(address) ?? 0) - (released.get(address)?.size ?? 0), 0)
  return new Set([...all.slice(0, asked), ...all.filter((block) => !usable.has(block))])
}

/** Returns blocks that have been idle, and blocks that other nodes lack. */
export function noteSwept(
  before: PortState,
  uses: ReadonlyMap<Address, AddressUse>,
  nowMs: number,
): PortStep {
  const used = new Map([...uses].map(([address, { flows }]) => [address, new Set(flows.keys())] as const))
  const plans = [...before.held].map(([address, held]) => {
    const usedHere = usedBlocks(before, address, used)
    const known = before.usedAtMs.get(address)
    const usedAtMs = new Map(
      held.map((block) => [block, usedHere.has(block) ? nowMs : (known?.get(block) ?? nowMs)] as const),
    )
    const leaving = before.leaving.get(address) ?? new Set<number>()
    const released = before.released.get(address) ?? new Set<number>()
    const holding = {
      held,
      used: usedHere,
      usedAtMs,
      leaving,
      released,
      flows: uses.get(address)?.flows ?? new Map(),
      unusable: new Set(held.filter((block) => !before.usable.has(block))),
      asked: before.short.get(address) ?? 0,
      isAllThereIs: before.wanted.has(address) && floorBlocks(before, address) === 0,
    }
    return { address, usedAtMs, release: planRelease(holding, before.idleMs, nowMs) }
  })
  const swept: PortState = {
    ...before,
    usedAtMs: new Map([
      ...before.usedAtMs,
      ...plans.map(({ address, usedAtMs }) => [address, usedAtMs] as const),
    ]),
    leaving: new Map(plans.map(({ address, release }) => [address, release.leaving])),
    released: union(
      before.released,
      new Map(plans.map(({ address, release }) => [address, release.released])),
    ),
  }
  const lowered = plans.reduce((lower, { address }) => lowerRequest(lower, address, nowMs), swept)
  const needed = [...before.short.keys()].reduce(
    (lower, address) => requestNeeded(lower, address, uses.get(address)?.most ?? 0, nowMs),
    lowered,
  )
  const crowded = new Map([...uses].map(([address, { most }]) => [address, most] as const))
  const state = { ...needed, heaviest: heaviestPods(before, uses), flows: sumFlows(uses), crowded }
  if (sizesOf(before) !== sizesOf(state))
    return { state, effects: [{ kind: 'report' }, { kind: 'reconcile' }] }
  const isSaid = state.requests === before.requests && isDeepStrictEqual(state.heaviest, before.heaviest)
  return { state, effects: isSaid ? [] : [{ kind: 'report' }] }
}

function sizesOf({ leaving, released }: PortState): string {
  return JSON.stringify([leaving, released].map((all) => [...all].map(([of, { size }]) => [of, size])))
}

function sumFlows(uses: ReadonlyMap<Address, AddressUse>): PortState['flows'] {
  return new Map(
    [...uses].map(([address, { flows }]) => [
      address,
      [...flows.values()].reduce((sum, each) => sum + each, 0),
    ]),
  )
}

/** Rounds to two digits, because a status that changed with each connection would wake the operator each time. */
function heaviestPods(
  { short, podNames }: PortState,
  uses: ReadonlyMap<Address, AddressUse>,
): PortState['heaviest'] {
  return [...short.keys()].sort().flatMap((address) => {
    const { pod, connections } = uses.get(address)?.heaviest ?? {}
    const name = pod && podNames.get(pod)
    if (name === undefined || connections === undefined) return []
    return [{ address, pod: name, connections: Number(connections.toPrecision(2)) }]
  })
}

/** While nodes demand more than there is, this node demands no more than its flows need. */
function requestNeeded(state: PortState, address: Address, most: number, nowMs: number): PortState {
  const request = state.requests.get(address)
  if (request === undefined || nowMs - request.askedAtMs < settledAfterMs) return state
  const floor = floorBlocks(state, address)
  const isAllThereIs = state.wanted.has(address) && floor === 0
  const blocks = Math.max(blocksForFlows(most) - floor, isAllThereIs ? 1 : 0)
  if (blocks >= request.blocks) return state
  const requests = new Map(state.requests)
  if (blocks === 0) requests.delete(address)
  else requests.set(address, { ...request, blocks })
  return { ...state, requests, unfulfilled: new Set([...state.unfulfilled].filter((of) => of !== address)) }
}

/** Flows of a burst that found no port try again within a second, and are counted then. */
const settledAfterMs = 2_000

/** A block that is still in the pool, because writing the pool failed, counts as used. */
function usedBlocks(
  { since, leaving }: PortState,
  address: Address,
  used: BlocksByAddress,
): ReadonlySet<number> {
  const revisions = since.get(address)
  const inPool = [...(leaving.get(address) ?? [])].filter((block) => revisions?.get(block) === 0)
  return new Set([...(used.get(address) ?? []), ...inPool])
}

/** The demand no longer counts blocks that were returned, or blocks that the operator could not grant at the time. */
function lowerRequest(state: PortState, address: Address, nowMs: number): PortState {
  const request = state.requests.get(address)
  if (request === undefined) return state
  const released = state.released.get(address) ?? new Set<number>()
  const kept = (state.held.get(address) ?? []).filter((block) => !released.has(block)).length
  const isOld = nowMs - request.askedAtMs >= state.idleMs
  if (request.blocks <= kept || (released.size === 0 && !isOld)) return state
  const requests = new Map(state.requests)
  if (kept === 0) requests.delete(address)
  else requests.set(address, { ...request, blocks: kept })
  return { ...state, requests }
}
