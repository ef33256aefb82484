import { moveWindow, neededBlocks, planRelease, raiseRequest } from '../../decide/ports/lease-demand.ts'
import { type AddressLeases, leasesByAddress } from '../../decide/ports/lease-table.ts'
import {
  confirmations,
  egressNodeOf,
  heldBlocks,
  leasedBlocks,
  markInUse,
  releasedBlocks,
  trackLeases,
  unconfirmedBy,
} from '../../decide/ports/lease-use.ts'
import { slotsByNode } from '../../decide/ports/slots.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import {
  type BlocksByAddress,
  blocksInUse,
  type LeaseWorld,
  ownLeases,
  type PortEffect,
  type PortEvent,
  type PortState,
  type PortStep,
  union,
} from './port-state.ts'

type EventOf<K extends PortEvent['kind']> = Extract<PortEvent, { readonly kind: K }>

/** What this node requests, uses and gives back of leased ports, as events change it. Time is an argument. */
export function stepPorts(state: PortState, event: PortEvent, nowMs: number): PortStep {
  switch (event.kind) {
    case 'restored':
      return { state: restore(state, event), effects: [] }
    case 'observed':
      return { state: observe(state, event.world, nowMs), effects: [] }
    case 'applied':
      return noteApplied(state, event, nowMs)
    case 'pressure':
      return notePressure(state, event, nowMs)
    case 'swept':
      return noteSwept(state, event.used, nowMs)
  }
}

function restore(state: PortState, { pools }: EventOf<'restored'>): PortState {
  const since = new Map(
    [...pools].map(([address, blocks]) => [address, new Map(blocks.map((block) => [block, 0]))]),
  )
  return { ...state, since }
}

function observe(before: PortState, world: LeaseWorld, nowMs: number): PortState {
  const read = before.hasReadStatus ? before : readStatus(before, world, nowMs)
  const state = forgetOthers(read, leasesByAddress(world.egressAddresses))
  const slot = slotsByNode(world.egressNodes).get(world.self)
  return { ...state, since: trackLeases(state.since, world, slot) }
}

/** What the agent before had requested and given back. */
function readStatus(state: PortState, world: LeaseWorld, nowMs: number): PortState {
  const own = egressNodeOf(world)
  const requests = (own?.status?.demand ?? []).flatMap(({ address: text, blocks }) => {
    const address = parseAddress(text)
    return address === undefined ? [] : [[address, { blocks, askedAtMs: nowMs }] as const]
  })
  const released = releasedBlocks(own, leasesByAddress(world.egressAddresses))
  return {
    ...state,
    hasReadStatus: true,
    requests: new Map([...state.requests, ...requests]),
    released: new Map([...released].map(([address, blocks]) => [address, new Set(blocks.keys())])),
  }
}

/** An object that was deleted and created again has other leases, whatever they look like. */
function forgetOthers(state: PortState, leases: ReadonlyMap<Address, AddressLeases>): PortState {
  const isSame = ([address]: readonly [Address, unknown]): boolean =>
    !state.known.has(address) || state.known.get(address)?.uid === leases.get(address)?.uid
  return {
    ...state,
    since: new Map([...state.since].filter(isSame)),
    leaving: new Map([...state.leaving].filter(isSame)),
    released: new Map([...state.released].filter(isSame)),
  }
}

/** What was given back and is no lease of this node any more is done. */
function noteApplied(before: PortState, { world, tables }: EventOf<'applied'>, nowMs: number): PortStep {
  const leases = leasesByAddress(world.egressAddresses)
  const { slot } = tables.self
  const ours = new Map(
    [...leases].map(([address, of]) => [address, new Set(leasedBlocks(of.leases, slot))] as const),
  )
  const known: PortState = {
    ...before,
    since: markInUse(before.since, world, tables.pools),
    confirmed: confirmations(world, tables),
    known: leases,
    held: new Map([...leases].map(([address, of]) => [address, heldBlocks(of.leases, slot)] as const)),
    released: intersection(before.released, ours),
    leaving: intersection(before.leaving, ours),
  }
  const unconfirmed = unconfirmedBy({ ...world, ownLeases: ownLeases(known) }, tables)
  const waiting = new Map(
    [...unconfirmed].map(([address, gateways]) => {
      const { sinceMs } = before.waiting.get(address) ?? { sinceMs: nowMs }
      return [address, { gateways, sinceMs }] as const
    }),
  )
  const { state, effects } = noteFulfilled({ ...known, waiting }, nowMs)
  return { state, effects: [...effects, { kind: 'report' }] }
}

function noteFulfilled(state: PortState, nowMs: number): PortStep {
  const isFulfilled = (address: Address): boolean =>
    blocksInUse(state, address) >= (state.requests.get(address)?.blocks ?? 0)
  const done = [...state.unfulfilled].filter(isFulfilled)
  return {
    state: {
      ...state,
      unfulfilled: new Set([...state.unfulfilled].filter((address) => !done.includes(address))),
    },
    effects: done.flatMap((address): PortEffect[] => {
      const request = state.requests.get(address)
      if (request === undefined) return []
      return [{ kind: 'fulfilled', address, blocks: request.blocks, tookMs: nowMs - request.askedAtMs }]
    }),
  }
}

/**
 * The node now keeps what it was about to give back, which is for its own tables; or requests more, which is for others; or
 * neither.
 */
function notePressure(before: PortState, { address, refused }: EventOf<'pressure'>, nowMs: number): PortStep {
  const request = before.requests.get(address)
  const inUse = blocksInUse(before, address)
  const known = before.refused.get(address) ?? refused
  const window = moveWindow(before.windows.get(address), { inUse, refused: Math.min(known, refused), nowMs })
  const raised = raiseRequest(request, { inUse, needed: neededBlocks(window, refused), nowMs })
  const isRaised = raised.blocks !== request?.blocks
  const wasLeaving = (before.leaving.get(address)?.size ?? 0) > 0
  const state: PortState = {
    ...before,
    windows: new Map(before.windows).set(address, window),
    refused: new Map(before.refused).set(address, refused),
    requests: new Map(before.requests).set(address, raised),
    unfulfilled: isRaised ? new Set(before.unfulfilled).add(address) : before.unfulfilled,
    leaving: new Map([...before.leaving].filter(([of]) => of !== address)),
  }
  const report: PortEffect[] = wasLeaving || isRaised ? [{ kind: 'report' }] : []
  return { state, effects: wasLeaving ? [...report, { kind: 'reconcile' }] : report }
}

/** Gives back what has been idle. */
function noteSwept(before: PortState, used: BlocksByAddress, nowMs: number): PortStep {
  const plans = [...before.held].map(([address, held]) => {
    const usedHere = usedBlocks(before, address, used)
    const known = before.usedAtMs.get(address)
    const usedAtMs = new Map(
      held.map((block) => [block, usedHere.has(block) ? nowMs : (known?.get(block) ?? nowMs)] as const),
    )
    const leaving = before.leaving.get(address) ?? new Set<number>()
    const released = before.released.get(address) ?? new Set<number>()
    const holding = { held, used: usedHere, usedAtMs, leaving, released }
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
  const state = plans.reduce((lowered, { address }) => lowerRequest(lowered, address, nowMs), swept)
  return {
    state,
    effects: sizesOf(before) === sizesOf(state) ? [] : [{ kind: 'report' }, { kind: 'reconcile' }],
  }
}

function sizesOf({ leaving, released }: PortState): string {
  return JSON.stringify([leaving, released].map((all) => [...all].map(([of, { size }]) => [of, size])))
}

/** A block that the pool has still (writing it failed) is as good as used. */
function usedBlocks(
  { since, leaving }: PortState,
  address: Address,
  used: BlocksByAddress,
): ReadonlySet<number> {
  const revisions = since.get(address)
  const inPool = [...(leaving.get(address) ?? [])].filter((block) => revisions?.get(block) === 0)
  return new Set([...(used.get(address) ?? []), ...inPool])
}

/** The request no longer counts what was given back, or what the operator could not grant when it was wanted. */
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

function intersection(some: BlocksByAddress, all: BlocksByAddress): BlocksByAddress {
  return new Map(
    [...some]
      .map(
        ([address, blocks]) =>
          [address, new Set([...blocks].filter((block) => all.get(address)?.has(block)))] as const,
      )
      .filter(([, blocks]) => blocks.size > 0),
  )
}
