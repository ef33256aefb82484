import {
  blocksForFlows,
  isCrowded,
  moveWindow,
  neededBlocks,
  raiseRequest,
} from '../../decide/ports/lease-demand.ts'
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
import { blockOfPort, usableBlocks } from '../../net/ports.ts'
import { blocksToReturn, noteSwept } from './port-return.ts'
import {
  type BlocksByAddress,
  blocksInUse,
  isPressed,
  type LeaseWorld,
  ownLeases,
  type PortEffect,
  type PortEvent,
  type PortState,
  type PortStep,
} from './port-state.ts'

type EventOf<K extends PortEvent['kind']> = Extract<PortEvent, { readonly kind: K }>

/** What this node demands, uses and returns of leased ports, as events change it. Time is an argument. */
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
      return noteSwept(state, event.uses, nowMs)
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

/** Reads what the previous agent had demanded and returned. */
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

/** If an object was deleted and created again, the leases of the old object do not count any more. */
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

/** Forgets a released block when it is no longer a lease of this node. */
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
    poolSizes: new Map(
      tables.pools.flatMap(({ address, purpose, blocks }) =>
        purpose === 'egress' ? [[address, blocks.length] as const] : [],
      ),
    ),
    short: shortages(leases, slot),
    wanted: new Set(
      [...tables.groups.values()].flatMap(({ preferred, standby }) => [...preferred, ...standby]),
    ),
    usable: usableBlocks(world.settings.ports),
    podNames: new Map(
      world.pods.flatMap(({ namespace, name, ips }) =>
        ips.map((of) => [of, `${namespace}/${name}`] as const),
      ),
    ),
  }
  const unconfirmed = unconfirmedBy({ ...world, ownLeases: ownLeases(known) }, tables)
  const waiting = new Map(
    [...unconfirmed].map(([address, gateways]) => {
      const { sinceMs } = before.waiting.get(address) ?? { sinceMs: nowMs }
      return [address, { gateways, sinceMs }] as const
    }),
  )
  const { state, effects } = noteFulfilled(requestFirst({ ...known, waiting }, slot, nowMs), nowMs)
  const sweep: PortEffect[] =
    isPressed(state) && pressOf(state) !== pressOf(before) ? [{ kind: 'sweep' }] : []
  return { state, effects: [...effects, { kind: 'report' }, ...sweep] }
}

/** The addresses of which nodes demand more than there is, and how many blocks this node is to return. */
function shortages(
  leases: ReadonlyMap<Address, AddressLeases>,
  slot: number | undefined,
): ReadonlyMap<Address, number> {
  return new Map(
    [...leases]
      .filter(([, { isShort }]) => isShort)
      .map(([address, { returns = [] }]) => [
        address,
        returns.reduce((sum, each) => sum + (each.slot === slot ? each.blocks : 0), 0),
      ]),
  )
}

/** A key of shortages and pool sizes. If it changes, blocks may have become free to return. */
function pressOf({ short, poolSizes }: PortState): string {
  return JSON.stringify([...short].map(([address, blocks]) => [address, blocks, poolSizes.get(address)]))
}

/** A node without a floor demands ports before its first flow needs one. */
function requestFirst(state: PortState, slot: number | undefined, nowMs: number): PortState {
  if (slot === undefined) return state
  const missing = [...state.wanted].filter(
    (address) => !state.poolSizes.has(address) && (state.requests.get(address)?.blocks ?? 0) === 0,
  )
  if (missing.length === 0) return state
  const first = raiseRequest(undefined, { inUse: 0, needed: 0, isCrowded: true, nowMs })
  return {
    ...state,
    requests: new Map([...state.requests, ...missing.map((address) => [address, first] as const)]),
    unfulfilled: new Set([...state.unfulfilled, ...missing]),
  }
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
 * Three outcomes: the node keeps blocks that it was about to return, which changes its own tables. Or it demands more, which
 * goes into its report. Or it does neither.
 */
function notePressure(
  before: PortState,
  { address, refused, fullness }: EventOf<'pressure'>,
  nowMs: number,
): PortStep {
  const request = before.requests.get(address)
  const inUse = blocksInUse(before, address)
  const known = before.refused.get(address) ?? refused
  const window = moveWindow(before.windows.get(address), { inUse, refused: Math.min(known, refused), nowMs })
  const crowded = isCrowded(fullness)
  const floor = blockOfPort(fullness.size) - inUse
  const forFlows = crowded ? blocksForFlows(fullness.taken) - floor : 0
  const needed = Math.max(neededBlocks(window, refused), forFlows)
  const raised = raiseRequest(request, { inUse, needed, isCrowded: crowded, nowMs })
  const isRaised = raised.blocks !== (request?.blocks ?? 0)
  const leaving = blocksToReturn(before, address)
  const wasLeaving = (before.leaving.get(address)?.size ?? 0) > leaving.size
  const state: PortState = {
    ...before,
    windows: new Map(before.windows).set(address, window),
    refused: new Map(before.refused).set(address, refused),
    requests: raised.blocks === 0 ? before.requests : new Map(before.requests).set(address, raised),
    unfulfilled: isRaised ? new Set(before.unfulfilled).add(address) : before.unfulfilled,
    leaving: new Map(before.leaving).set(address, leaving),
  }
  const report: PortEffect[] = wasLeaving || isRaised ? [{ kind: 'report' }] : []
  return { state, effects: wasLeaving ? [...report, { kind: 'reconcile' }] : report }
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
