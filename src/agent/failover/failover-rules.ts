import { isDeepStrictEqual } from 'node:util'
import {
  flapMemoryMs,
  type GatewayReachability,
  ineligibleForMs,
  sharesEgressIp,
  watchedGateways,
} from '../../decide/gateways/takeover.ts'
import type { LinkEnd } from '../../linux/arp.ts'
import { type Address, familyOf } from '../../net/address.ts'
import type { NodeDevice } from '../node/node-network.ts'
import { noteClaimed, noteOwnAddresses, noteProbed } from './address-claims.ts'
import { planHeldAddresses } from './held-addresses.ts'
import { linkOf } from './links.ts'
import { noteMoved, noteProblems, planMoves } from './moves.ts'
import { noteLinks } from './paths.ts'
import { type Verdict, type Watched, watchesNobody } from './pulse/messages.ts'
import { beginRejoin, noteRelisted, noteRelistTimeout, noteSettled, noteSettleFailure } from './rejoin.ts'
import type { FailoverEffect, FailoverEvent, FailoverState, FailoverStep, Moment } from './state.ts'

type EventOf<K extends FailoverEvent['kind']> = Extract<FailoverEvent, { readonly kind: K }>

/** Computes what follows from an event. It never waits and reads nothing: the time and all knowledge are arguments. */
export function stepFailover(state: FailoverState, event: FailoverEvent, now: Moment): FailoverStep {
  switch (event.kind) {
    case 'started':
      return beginRejoin(state)
    case 'predecessorIsAlive':
      return { state, effects: [{ kind: 'answerProbes', absence: 0 }] }
    case 'ownDecided':
      return noteOwnAddresses(state, event, now)
    case 'probed':
      return noteProbed(state, event.address)
    case 'claimed':
      return noteClaimed(state, event, now)
    case 'tablesApplied':
      return noteTables(state, event, now)
    case 'membershipLost':
      return loseMembership(state, event.reason, now)
    case 'verdicts':
      return noteVerdicts(state, event.changes, now)
    case 'reach':
      return noteReach(state, event.isCutOff, now)
    case 'links':
      return noteLinks(state, event.answering)
    case 'linkFailed':
      return { state, effects: [warning({ problem: event.problem }, linkFailed)] }
    case 'absent': {
      const step = beginRejoin({ ...state, absence: event.absence })
      return { ...step, effects: [warning({ ms: event.ms }, absent), ...step.effects] }
    }
    case 'tick':
      return noteTick(state, event.receivesNothing, now)
    case 'moved':
      return noteMoved(state, event.plan, event, now.ms)
    case 'moveFailed':
      return noteProblems(state, [`Moving egress IPs failed: ${event.message}`])
    default:
      return stepRejoin(state, event, now)
  }
}

const absent = 'the agent did not run for some time; the node answers no probes until its tables are current'
const linkFailed =
  'ARP cannot check whether the other node is alive; this node does not take over its egress IPs'

function warning(fields: Readonly<Record<string, unknown>>, message: string): FailoverEffect {
  return { kind: 'log', level: 'warn', fields, message }
}

function stepRejoin(
  state: FailoverState,
  event: EventOf<'relisted' | 'relistTimedOut' | 'settled' | 'settleFailed'>,
  now: Moment,
): FailoverStep {
  const { rejoin } = state
  if (rejoin?.id !== event.rejoin) return { state, effects: [] }
  switch (event.kind) {
    case 'relisted':
      return noteRelisted(state, rejoin)
    case 'relistTimedOut':
      return noteRelistTimeout(state, rejoin, event.hasTables)
    case 'settled':
      return noteSettled(state, rejoin, now.ms)
    case 'settleFailed':
      return noteSettleFailure(state, rejoin)
  }
}

function noteTick(before: FailoverState, receivesNothing: boolean, now: Moment): FailoverStep {
  const isIsolated = receivesNothing && before.cutOffSinceMs !== undefined
  const isolatedSinceMs = isIsolated ? (before.isolatedSinceMs ?? now.ms) : undefined
  const state = { ...before, isolatedSinceMs }
  return state.held.size === 0 && state.poolPlaces.size === 0 ? { state, effects: [] } : move(state, now)
}

/** Runs the steps one after another. Each starts from the state that the previous one left. */
function inOrder(
  first: FailoverStep,
  ...others: readonly ((state: FailoverState) => FailoverStep)[]
): FailoverStep {
  return others.reduce<FailoverStep>((before, next) => {
    const { state, effects } = next(before.state)
    return { state, effects: [...before.effects, ...effects] }
  }, first)
}

function move(state: FailoverState, now: Moment): FailoverStep {
  const plan = planMoves(state, now.ms)
  return { state, effects: plan === undefined ? [] : [{ kind: 'move', plan }] }
}

function beginIf(isDue: boolean): (state: FailoverState) => FailoverStep {
  return (state) => (isDue ? beginRejoin(state) : { state, effects: [] })
}

function noteTables(before: FailoverState, event: EventOf<'tablesApplied'>, now: Moment): FailoverStep {
  const { tables, lingering, devices } = event
  const { tunnelAddress } = tables.self
  const { wanted, problems } = planHeldAddresses(
    tables.poolAddresses,
    { name: before.node, tunnelAddress },
    devices,
    lingering,
    before,
  )
  const state: FailoverState = {
    ...before,
    tunnelAddress,
    noMemberBecause: undefined,
    orders: new Map([...lingering, ...tables.egressIps].map(([address, { order }]) => [address, order])),
    ownerless: tables.ownerless,
    devices,
    poolPlaces: wanted,
    poolProblems: problems,
  }
  const hadNoCarrier = new Set(before.devices.flatMap(({ index, hasCarrier }) => (hasCarrier ? [] : [index])))
  const isLinkBack = ownLinks(state).some(({ index, hasCarrier }) => hasCarrier && hadNoCarrier.has(index))
  return inOrder(
    watch(state, planWatched(state, event)),
    beginIf(before.noMemberBecause !== undefined),
    (current) => move(current, now),
    beginIf(isLinkBack),
  )
}

/**
 * This node probes all gateways that may answer for an egress IP that its pods use, and those of each egress IP for which it
 * is a successor.
 */
function planWatched(state: FailoverState, { tables, lingering }: EventOf<'tablesApplied'>): Watched {
  const { orders } = state
  const self = tables.self.tunnelAddress
  const grouped = [...tables.groups.values()].flatMap(({ preferred, standby }) => [...preferred, ...standby])
  const forgotten = [...lingering.keys()].filter((address) => !tables.egressIps.has(address))
  const gateways = [...watchedGateways(orders, new Set([...grouped, ...forgotten]), self)]
  const witnesses = tables.witnesses.filter((witness) => !gateways.includes(witness))
  const shares = sharesEgressIp(orders, self)
  return {
    gateways: gateways.toSorted(),
    witnesses: witnesses.toSorted(),
    sharesEgressIp: shares,
    link: shares ? linkTo([...gateways, ...witnesses], state) : undefined,
  }
}

/** Where ARP can ask whether the other node is alive, in a cluster of two nodes: the link of its tunnel address. */
function linkTo(
  [only, ...others]: readonly Address[],
  { devices, tunnelAddress }: FailoverState,
): LinkEnd | undefined {
  if (only === undefined || others.length > 0 || familyOf(only) !== 4) return undefined
  const device = linkOf(only, devices)
  if (device?.mac === undefined || tunnelAddress === undefined) return undefined
  return { ifindex: device.index, mac: device.mac, address: tunnelAddress }
}

function watch(state: FailoverState, watched: Watched): FailoverStep {
  if (isDeepStrictEqual(state.watched, watched)) return { state, effects: [] }
  const gateways = new Map([...state.gateways].filter(([gateway]) => watched.gateways.includes(gateway)))
  return {
    state: { ...state, watched, gateways },
    effects: [
      { kind: 'watch', watched },
      { kind: 'avoid', untilNs: state.avoidedUntilNs },
    ],
  }
}

/** The links on which this node's own egress IPs have neighbours. Other devices, such as those of pods, do not matter. */
function ownLinks({ orders, devices, tunnelAddress }: FailoverState): readonly NodeDevice[] {
  return [...orders].flatMap(([address, [owner, ...successors]]) =>
    owner === tunnelAddress && successors.length > 0 ? (linkOf(address, devices) ?? []) : [],
  )
}

/**
 * Other nodes drop this node's packets. So it holds no egress IP, refuses probes, and later rejoins like a node that was
 * absent.
 */
function loseMembership(before: FailoverState, reason: string, now: Moment): FailoverStep {
  const isNews = before.noMemberBecause === undefined
  const state: FailoverState = {
    ...before,
    noMemberBecause: reason,
    poolProblems: [],
  }
  const quiet: FailoverStep = {
    state,
    effects: [
      ...(isNews ? [warning({}, `${reason} Until then this node holds no egress IP.`)] : []),
      { kind: 'refuseProbes' },
      { kind: 'stopAnnouncing' },
    ],
  }
  return inOrder(
    quiet,
    (current) => watch(current, watchesNobody),
    (current) => move(current, now),
  )
}

/** A node that only uses gateways reaches its only one again at the same moment as all others: what they know is not old for that. */
function noteReach(before: FailoverState, isCutOff: boolean, now: Moment): FailoverStep {
  const state = { ...before, cutOffSinceMs: isCutOff ? now.ms : undefined, isolatedSinceMs: undefined }
  const log: FailoverEffect = isCutOff
    ? warning({}, 'this node reaches no other node through the tunnel; it takes over no egress IP')
    : {
        kind: 'log',
        level: 'info',
        fields: {},
        message: 'this node reaches other nodes through the tunnel again',
      }
  const isBack = before.cutOffSinceMs !== undefined && !isCutOff && ownLinks(state).length > 0
  return inOrder({ state, effects: [log] }, (current) => move(current, now), beginIf(isBack), reconcile)
}

function reconcile(state: FailoverState): FailoverStep {
  return { state, effects: [{ kind: 'reconcile' }] }
}

function noteVerdicts(
  before: FailoverState,
  changes: readonly (readonly [Address, Verdict])[],
  now: Moment,
): FailoverStep {
  const isWatched = ([gateway]: readonly [Address, Verdict]): boolean =>
    before.watched?.gateways.includes(gateway) === true
  return inOrder(
    { state: before, effects: [] },
    ...changes.filter(isWatched).map(
      ([gateway, verdict]) =>
        (state: FailoverState) =>
          noteVerdict(state, gateway, verdict, now),
    ),
    (state) => move(state, now),
    reconcile,
  )
}

function noteVerdict(before: FailoverState, gateway: Address, verdict: Verdict, now: Moment): FailoverStep {
  const { isUnreachable } = verdict
  const known = before.gateways.get(gateway)
  const isNews = known?.isUnreachable !== isUnreachable
  const reachability: GatewayReachability = { ...verdict, sinceMs: isNews ? now.ms : known.sinceMs }
  const state = { ...before, gateways: new Map(before.gateways).set(gateway, reachability) }
  if (!isNews) return { state, effects: [] }
  const noted = isUnreachable ? noteUnreachable(state, gateway, now) : { state, effects: [] }
  if (!isUnreachable && known === undefined) return noted
  const message = isUnreachable ? 'gateway is unreachable' : 'gateway is reachable again'
  return {
    ...noted,
    effects: [...noted.effects, { kind: 'log', level: 'info', fields: { gateway }, message }],
  }
}

/** New flows avoid a gateway for a while if it fails repeatedly. */
function noteUnreachable(state: FailoverState, gateway: Address, now: Moment): FailoverStep {
  const recent = (state.unreachableAtMs.get(gateway) ?? []).filter((atMs) => now.ms - atMs < flapMemoryMs)
  const times = [...recent, now.ms]
  const noted = { ...state, unreachableAtMs: new Map(state.unreachableAtMs).set(gateway, times) }
  const forMs = ineligibleForMs(times.length)
  if (forMs === 0) return { state: noted, effects: [] }
  const untilNs = new Map(state.avoidedUntilNs).set(gateway, now.ns + BigInt(forMs) * 1_000_000n)
  return { state: { ...noted, avoidedUntilNs: untilNs }, effects: [{ kind: 'avoid', untilNs }] }
}
