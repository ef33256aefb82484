import type { LinkEnd } from '../../../linux/arp.ts'
import type { Address } from '../../../net/address.ts'
import { type FromProber, type ToProber, type Verdict, type Watched, watchesNobody } from './messages.ts'
import { type Contact, judgeReach, type LinkContact } from './reach.ts'
import { timing } from './timing.ts'

/*
 * The rules of the prober, which keeps this node alive for other nodes and watches them. They use no thread, socket or
 * table, so the agent's second thread, tests and the simulated clock run the same rules. Times are ns of CLOCK_MONOTONIC. 0n
 * means never.
 */

export interface ProberState {
  readonly watched: Watched
  /** Gateways and witnesses, with the time of the first probe. */
  readonly probedSinceNs: ReadonlyMap<Address, bigint>
  readonly avoidedUntilNs: ReadonlyMap<Address, bigint>
  readonly verdicts: ReadonlyMap<Address, Verdict>
  readonly isCutOff: boolean
  /** What ARP shows about the other node. Undefined if ARP cannot be asked. */
  readonly link: LinkContact | undefined
  readonly aliveUntilNs: bigint
  readonly lastTickNs: bigint
  /** Ticks since the last late tick. */
  readonly goodTicks: number
  readonly ticks: number
  readonly beat: number
  readonly lastBeatNs: bigint
  /** When this node was last alive. 0n if it has not been alive since it started or was absent. */
  readonly lastAliveNs: bigint
  readonly absences: number
  readonly hasLeft: boolean
}

/** The flags that the agent writes. */
export interface AgentFlags {
  readonly beat: number
  readonly aliveAfterAbsence: number
}

/** When a node last answered a probe, and when it last refused one. */
export type Answers = Pick<Contact, 'answeredNs' | 'refusedNs'>

export type ProberEvent =
  | Exclude<ToProber, { readonly kind: 'leave' }>
  | { readonly kind: 'leave'; readonly flags: AgentFlags }
  | {
      readonly kind: 'tick'
      readonly flags: AgentFlags
      /** The answers of each probed node. Empty if no node is judged or asked by ARP. */
      readonly answers: ReadonlyMap<Address, Answers>
      /** Whether the other node has answered ARP since the last tick. */
      readonly hasLinkAnswered: boolean
    }
  | { readonly kind: 'linkAsked' }
  | { readonly kind: 'linkClosed' }

export type ProberEffect =
  /** Until when other nodes may count this node as alive, and until when this node judges others. */
  | { readonly kind: 'liveness'; readonly aliveUntilNs: bigint; readonly probingUntilNs: bigint }
  | { readonly kind: 'probe'; readonly nodes: readonly Address[] }
  | { readonly kind: 'askLink'; readonly node: Address }
  /** Undefined closes the link. */
  | { readonly kind: 'openLink'; readonly link: LinkEnd | undefined }
  /** Keeps answers of these nodes only. The nodes of `fresh` count as having answered now. */
  | { readonly kind: 'track'; readonly nodes: ReadonlySet<Address>; readonly fresh: readonly Address[] }
  | { readonly kind: 'avoid'; readonly untilNs: ReadonlyMap<Address, bigint> }
  | { readonly kind: 'report'; readonly report: FromProber }

interface ProberStep {
  readonly state: ProberState
  readonly effects: readonly ProberEffect[]
}

const neverAsked: LinkContact = { askedSinceNs: 0n, answeredNs: 0n }

/** `aliveUntilNs` is the value that the previous agent left. */
export function startOfProber(aliveUntilNs: bigint): ProberState {
  return {
    watched: watchesNobody,
    probedSinceNs: new Map(),
    avoidedUntilNs: new Map(),
    verdicts: new Map(),
    isCutOff: false,
    link: undefined,
    aliveUntilNs,
    lastTickNs: 0n,
    goodTicks: 0,
    ticks: 0,
    beat: -1,
    lastBeatNs: 0n,
    lastAliveNs: 0n,
    absences: 0,
    hasLeft: false,
  }
}

export function stepProber(state: ProberState, event: ProberEvent, nowNs: bigint): ProberStep {
  if (state.hasLeft) return { state, effects: [] }
  switch (event.kind) {
    case 'watch':
      return watch(state, event.watched, nowNs)
    case 'avoid': {
      const untilNs = new Map(
        state.watched.gateways.map((node) => [node, event.untilNs.get(node) ?? 0n] as const),
      )
      return { state: { ...state, avoidedUntilNs: event.untilNs }, effects: [{ kind: 'avoid', untilNs }] }
    }
    case 'linkAsked': {
      const { link } = state
      const isFirst = link?.askedSinceNs === 0n
      return { state: isFirst ? { ...state, link: { ...link, askedSinceNs: nowNs } } : state, effects: [] }
    }
    case 'linkClosed':
      return { state: { ...state, link: undefined }, effects: [] }
    case 'leave':
      return leave(noteBeat(state, event.flags, nowNs), event.flags, nowNs)
    case 'tick':
      return tick(state, event, nowNs)
  }
}

function tick(before: ProberState, event: ProberEvent & { kind: 'tick' }, nowNs: bigint): ProberStep {
  const absent = noteAbsence(before, nowNs)
  const beaten = noteBeat(absent.state, event.flags, nowNs)
  const isAlive = isAgentAlive(beaten, event.flags, nowNs)
  const gapNs = before.lastTickNs === 0n ? 0n : nowNs - before.lastTickNs
  /* After a gap, gateways are judged only when they have had time to answer again. */
  const goodTicks = gapNs > timing.lateNs ? 0 : before.goodTicks + 1
  const state: ProberState = {
    ...beaten,
    ...(isAlive ? { aliveUntilNs: nowNs + timing.aliveNs, lastAliveNs: nowNs } : {}),
    lastTickNs: nowNs,
    goodTicks,
    ticks: before.ticks + 1,
    link: noteLink(goodTicks === 0 ? before.link && neverAsked : before.link, event.hasLinkAnswered, nowNs),
  }
  const isJudging = state.watched.gateways.length > 0 && goodTicks >= timing.ticksBeforeJudging
  const liveness = {
    kind: 'liveness',
    aliveUntilNs: state.aliveUntilNs,
    probingUntilNs: isJudging ? nowNs + timing.probingNs : 0n,
  } as const
  const probed =
    before.ticks % timing.ticksPerProbe === 0 ? probe(state, event.answers, nowNs) : nothing(state)
  const judged = isJudging ? judge(probed.state, event.answers, nowNs) : nothing(probed.state)
  return { state: judged.state, effects: [...absent.effects, liveness, ...probed.effects, ...judged.effects] }
}

function nothing(state: ProberState): ProberStep {
  return { state, effects: [] }
}

function reported(report: FromProber): ProberEffect {
  return { kind: 'report', report }
}

/**
 * This node was silent for so long that other nodes went on without it. It does not count as alive until its agent says so.
 */
function noteAbsence(state: ProberState, nowNs: bigint): ProberStep {
  const { lastAliveNs } = state
  if (lastAliveNs === 0n || nowNs - lastAliveNs <= timing.silenceNs) return nothing(state)
  const absences = state.absences + 1
  const ms = Number((nowNs - lastAliveNs) / 1_000_000n)
  return {
    state: { ...state, absences, lastAliveNs: 0n },
    effects: [reported({ kind: 'absent', absence: absences, ms })],
  }
}

function noteBeat(state: ProberState, { beat }: AgentFlags, nowNs: bigint): ProberState {
  return beat === state.beat ? state : { ...state, beat, lastBeatNs: nowNs }
}

/** The agent makes progress, and its tables account for the latest absence. */
function isAgentAlive(state: ProberState, { aliveAfterAbsence }: AgentFlags, nowNs: bigint): boolean {
  return aliveAfterAbsence === state.absences + 1 && nowNs - state.lastBeatNs < timing.stuckNs
}

function noteLink(
  link: LinkContact | undefined,
  hasAnswered: boolean,
  nowNs: bigint,
): LinkContact | undefined {
  return link && hasAnswered ? { ...link, answeredNs: nowNs } : link
}

/** In a cluster of two nodes, the other one is also asked by ARP as soon as its answer to a probe is overdue. */
function probe(state: ProberState, answers: ReadonlyMap<Address, Answers>, nowNs: bigint): ProberStep {
  const nodes = [...state.probedSinceNs.keys()]
  const effects: ProberEffect[] = nodes.length === 0 ? [] : [{ kind: 'probe', nodes }]
  const [only] = nodes
  if (state.link === undefined || only === undefined) return { state, effects }
  if ((answers.get(only)?.answeredNs ?? 0n) + timing.askAfterNs > nowNs)
    return { state: { ...state, link: { ...state.link, askedSinceNs: 0n } }, effects }
  return { state, effects: [...effects, { kind: 'askLink', node: only }] }
}

function judge(state: ProberState, answers: ReadonlyMap<Address, Answers>, nowNs: bigint): ProberStep {
  const contacts = new Map(
    [...state.probedSinceNs].map(([node, sinceNs]) => {
      const { answeredNs, refusedNs } = answers.get(node) ?? { answeredNs: 0n, refusedNs: 0n }
      const avoidedUntilNs = state.avoidedUntilNs.get(node) ?? 0n
      return [node, { sinceNs, answeredNs, refusedNs, avoidedUntilNs }] as const
    }),
  )
  const { verdicts, isCutOff } = judgeReach(contacts, state.watched.gateways, state.link, nowNs)
  const changes = [...verdicts].filter(
    ([gateway, verdict]) => !isSameVerdict(state.verdicts.get(gateway), verdict),
  )
  const judged = { ...state, verdicts: new Map([...state.verdicts, ...changes]) }
  const reach = noteReach(judged, state.watched.sharesEgressIp && isCutOff)
  const news = changes.length === 0 ? [] : [reported({ kind: 'verdicts', changes })]
  return { state: reach.state, effects: [...reach.effects, ...news] }
}

const isSameVerdict = (a: Verdict | undefined, b: Verdict): boolean =>
  a?.isUnreachable === b.isUnreachable && a.isWitnessed === b.isWitnessed

function noteReach(state: ProberState, isCutOff: boolean): ProberStep {
  if (isCutOff === state.isCutOff) return nothing(state)
  return { state: { ...state, isCutOff }, effects: [reported({ kind: 'reach', isCutOff })] }
}

/** A node counts as reachable from its first probe until it has had time to answer. */
function watch(before: ProberState, watched: Watched, nowNs: bigint): ProberStep {
  const nodes = new Set([...watched.gateways, ...watched.witnesses])
  const fresh = [...nodes].filter((node) => !before.probedSinceNs.has(node))
  const link = nodes.size === 1 ? watched.link : undefined
  const state: ProberState = {
    ...before,
    watched,
    probedSinceNs: new Map([...nodes].map((node) => [node, before.probedSinceNs.get(node) ?? nowNs])),
    verdicts: new Map([...before.verdicts].filter(([gateway]) => watched.gateways.includes(gateway))),
    goodTicks: before.watched.gateways.length === 0 ? 0 : before.goodTicks,
    link: link && neverAsked,
  }
  const reach = watched.sharesEgressIp ? nothing(state) : noteReach(state, false)
  return {
    state: reach.state,
    effects: [{ kind: 'track', nodes, fresh }, ...reach.effects, { kind: 'openLink', link }],
  }
}

/** An alive node stays alive for the next agent. Otherwise the value that the previous agent left stays. */
function leave(before: ProberState, flags: AgentFlags, nowNs: bigint): ProberStep {
  const isAlive = isAgentAlive(before, flags, nowNs)
  const aliveUntilNs = isAlive ? nowNs + timing.graceNs : before.aliveUntilNs
  return {
    state: { ...before, aliveUntilNs, hasLeft: true },
    effects: [{ kind: 'liveness', aliveUntilNs, probingUntilNs: 0n }, reported({ kind: 'left' })],
  }
}
