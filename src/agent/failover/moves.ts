import { flapMemoryMs, planTakeovers } from '../../decide/gateways/takeover.ts'
import type { Address } from '../../net/address.ts'
import type { NodeDevice } from '../node/node-network.ts'
import { isUnusable } from './address-claims.ts'
import { linkOf } from './links.ts'
import { type ProxiedAddress, planProxiedAddresses } from './proxied-addresses.ts'
import type { FailoverEffect, FailoverState, FailoverStep, MoveResult } from './state.ts'

/** Where each address belongs that the agent adds to devices of this node. */
export interface MovePlan {
  /** The device's name for each address. */
  readonly placed: ReadonlyMap<Address, string>
  /** Egress IPs of other nodes that this node answers for. */
  readonly takenOver: ReadonlySet<Address>
  /** Egress IPs of other nodes that it held when the plan was made. */
  readonly before: ReadonlySet<Address>
  readonly proxied: readonly ProxiedAddress[]
  readonly problems: readonly string[]
}

/** A node that is not a member of the cluster holds no egress IP. */
function planNothing(state: FailoverState): MovePlan {
  return {
    placed: new Map(),
    takenOver: new Set(),
    before: foreignAddresses(state),
    proxied: [],
    problems: [],
  }
}

/** Undefined while nothing may be moved, because a node that was absent must not decide by old knowledge. */
export function planMoves(state: FailoverState, nowMs: number): MovePlan | undefined {
  if (state.noMemberBecause !== undefined) return planNothing(state)
  const { tunnelAddress: self, orders, ownerless, devices, gateways, cutOffSinceMs, rejoin } = state
  if (self === undefined || rejoin?.isQuiet) return undefined
  const before = foreignAddresses(state)
  const taken = new Map(
    [...before].map((address) => [
      address,
      { times: Math.max(recentTakeovers(state, address, nowMs).length, 1) },
    ]),
  )
  const due = planTakeovers({ orders, ownerless, self, gateways, taken, cutOffSinceMs, nowMs })
  const takenOver = new Set([...due].filter((address) => !isUnusable(state.claims.get(address))))
  const places = [...takenOver].map((address) => [address, linkOf(address, devices)?.name] as const)
  const found = places.flatMap(([address, name]) => (name === undefined ? [] : [[address, name] as const]))
  const own = [...orders.keys()].filter((address) => orders.get(address)?.[0] === self)
  const givenUp = givenUpAddresses(state, nowMs)
  return {
    /* Addresses that are taken over come first, because their flows have no gateway until then. */
    placed: new Map([...found, ...[...state.poolPlaces].filter(([address]) => !givenUp.has(address))]),
    takenOver,
    before,
    proxied: planProxiedAddresses(own, devices),
    problems: [
      ...places.flatMap(([address, name]) =>
        name === undefined
          ? `The gateway of egress IP ${address} is unreachable, and this node cannot take the address over because none of its devices is on the same link.`
          : [],
      ),
      ...[...givenUp].map(
        (address) =>
          `This node has given up egress IP ${address} to other gateways, because it reaches neither them nor the API server.`,
      ),
    ],
  }
}

/**
 * How long a node that reaches no other node and receives nothing from the API server keeps its own addresses of pools. By then a
 * successor answers for them, or the operator has given them away, and the neighbours must not get two answers. Either failure
 * alone is not enough: see decision 15.
 */
const giveUpOwnAfterMs = 10_000

function givenUpAddresses(
  { isolatedSinceMs, poolPlaces, orders }: FailoverState,
  nowMs: number,
): ReadonlySet<Address> {
  if (isolatedSinceMs === undefined || nowMs - isolatedSinceMs < giveUpOwnAfterMs) return new Set()
  return new Set([...poolPlaces.keys()].filter((address) => (orders.get(address)?.length ?? 0) > 1))
}

/** The egress IPs of other nodes that this node holds. */
function foreignAddresses({ held, orders, tunnelAddress }: FailoverState): ReadonlySet<Address> {
  return new Set([...held.keys()].filter((address) => orders.get(address)?.[0] !== tunnelAddress))
}

function recentTakeovers({ takenAtMs }: FailoverState, address: Address, nowMs: number): readonly number[] {
  return (takenAtMs.get(address) ?? []).filter((atMs) => nowMs - atMs < flapMemoryMs)
}

export function noteMoved(
  before: FailoverState,
  plan: MovePlan,
  result: MoveResult,
  nowMs: number,
): FailoverStep {
  const { added, held, problems } = result
  const newlyTaken = added.filter((address) => plan.takenOver.has(address))
  const handedBack = [...plan.before].filter((address) => !plan.placed.has(address) && !held.has(address))
  const state: FailoverState = {
    ...before,
    held,
    takenAtMs: new Map([
      ...before.takenAtMs,
      ...newlyTaken.map((address) => [address, [...recentTakeovers(before, address, nowMs), nowMs]] as const),
    ]),
    takeovers: {
      takenOver: before.takeovers.takenOver + newlyTaken.length,
      handedBack: before.takeovers.handedBack + handedBack.length,
    },
  }
  const noted = noteProblems(state, [...plan.problems, ...problems])
  const announced = added.flatMap((address) => {
    const device = state.devices.find(({ name }) => name === plan.placed.get(address))
    return device === undefined ? [] : announcementOf(address, device)
  })
  return {
    state: noted.state,
    effects: [
      ...handedBack.map((address): FailoverEffect => ({ kind: 'stopAnnouncing', address })),
      ...announced,
      ...describeMoves(before, plan, { newlyTaken, handedBack }),
      ...noted.effects,
    ],
  }
}

function describeMoves(
  { noMemberBecause, ownerless }: FailoverState,
  { placed }: MovePlan,
  { newlyTaken, handedBack }: Readonly<Record<'newlyTaken' | 'handedBack', readonly Address[]>>,
): readonly FailoverEffect[] {
  const log = (level: 'info' | 'warn', fields: Readonly<Record<string, unknown>>, message: string) =>
    ({ kind: 'log', level, fields, message }) as const
  const back =
    noMemberBecause === undefined
      ? handedBack.map((egressIP) => log('info', { egressIP }, 'handed back the egress IP'))
      : handedBack.map((egressIP) =>
          log('warn', { egressIP }, 'gave up the egress IP: this node is not a member of the cluster'),
        )
  const taken = newlyTaken.map((egressIP) =>
    log(
      'warn',
      { egressIP, device: placed.get(egressIP) },
      ownerless.has(egressIP)
        ? 'took over the egress IP: its gateway is reachable, but cannot answer for it'
        : 'took over the egress IP: its gateway is unreachable',
    ),
  )
  return [...back, ...taken]
}

/** Failed moves are retried every second and reported once. */
export function noteProblems(state: FailoverState, moveProblems: readonly string[]): FailoverStep {
  const news = moveProblems.filter((problem) => !state.moveProblems.includes(problem))
  return {
    state: { ...state, moveProblems },
    effects: news.map((message) => ({ kind: 'log', level: 'warn', fields: {}, message })),
  }
}

/**
 * Announces this node's own addresses when it has rejoined or its link is back. It does not announce other nodes' addresses.
 */
export function announceOwn({ orders, devices, tunnelAddress }: FailoverState): readonly FailoverEffect[] {
  return [...orders].flatMap(([address, [owner, ...successors]]) => {
    if (owner !== tunnelAddress || successors.length === 0) return []
    const isHere = devices.some(({ addresses }) => addresses.includes(address))
    const device = isHere ? linkOf(address, devices) : undefined
    return device === undefined ? [] : announcementOf(address, device)
  })
}

function announcementOf(address: Address, { index, mac }: NodeDevice): readonly FailoverEffect[] {
  return mac === undefined
    ? [{ kind: 'stopAnnouncing', address }]
    : [{ kind: 'announce', address, device: { index, mac } }]
}
