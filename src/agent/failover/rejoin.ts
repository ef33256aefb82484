import { announceOwn, planMoves } from './moves.ts'
import type { FailoverEffect, FailoverState, FailoverStep, Rejoin } from './state.ts'

/*
 * A node was absent if it was started, stopped for a while, or cut off. Other nodes went on without it. The operator may
 * have leased ports that it does not know of, and successors hold its addresses. It refuses probes until it has relisted
 * everything and its tables are up to date.
 */

/**
 * How long a node waits for the API server. If the API server does not answer, little can have changed meanwhile, and a
 * gateway with old tables is better than none.
 */
export const relistTimeoutMs = 3_000
const settleAgainMs = 1_000

/** Starts one relist, however many events show that the node is back. */
export function beginRejoin(state: FailoverState): FailoverStep {
  const { rejoin, absence } = state
  if (rejoin?.isQuiet && rejoin.absence === absence) return { state, effects: [] }
  const id = state.rejoins + 1
  const begun: Rejoin = { id, absence, isQuiet: true, isRelisted: false, settling: undefined }
  return {
    state: { ...state, rejoin: begun, rejoins: id },
    effects: [{ kind: 'stopAnnouncing' }, { kind: 'relist', rejoin: id }],
  }
}

export function noteRelisted(state: FailoverState, rejoin: Rejoin): FailoverStep {
  if (rejoin.settling !== undefined)
    return { state: { ...state, rejoin: { ...rejoin, isRelisted: true } }, effects: [] }
  return settle(state, { ...rejoin, isRelisted: true, settling: 'relisted' })
}

/** An agent without any tables waits on. */
export function noteRelistTimeout(state: FailoverState, rejoin: Rejoin, hasTables: boolean): FailoverStep {
  if (!hasTables || rejoin.isRelisted || rejoin.settling !== undefined) return { state, effects: [] }
  const { state: settling, effects } = settle(state, { ...rejoin, settling: 'old' })
  const fields = { waitedMs: relistTimeoutMs }
  const message = 'the API server does not answer; the node continues with the tables that it has'
  return { state: settling, effects: [{ kind: 'log', level: 'warn', fields, message }, ...effects] }
}

function settle(state: FailoverState, rejoin: Rejoin, afterMs = 0): FailoverStep {
  return { state: { ...state, rejoin }, effects: [{ kind: 'settle', rejoin: rejoin.id, afterMs }] }
}

/** A node whose tables cannot be written must not answer probes. */
export function noteSettleFailure(state: FailoverState, rejoin: Rejoin): FailoverStep {
  return settle(state, rejoin, settleAgainMs)
}

/** The tables are written. If they came from old objects, the node relists again as soon as the API server answers. */
export function noteSettled(state: FailoverState, rejoin: Rejoin, nowMs: number): FailoverStep {
  if (rejoin.settling === 'relisted') return takePart({ ...state, rejoin: undefined }, nowMs)
  const wanted = {
    ...rejoin,
    isQuiet: false,
    settling: rejoin.isRelisted ? ('relisted' as const) : undefined,
  }
  const part = takePart({ ...state, rejoin: wanted }, nowMs)
  const more = rejoin.isRelisted ? settle(part.state, wanted) : { state: part.state, effects: [] }
  return { state: more.state, effects: [...part.effects, ...more.effects] }
}

/** The node answers probes again and announces its own addresses. */
function takePart(state: FailoverState, nowMs: number): FailoverStep {
  if (state.noMemberBecause !== undefined) return { state, effects: [] }
  const plan = planMoves(state, nowMs)
  const effects: FailoverEffect[] = [
    { kind: 'answerProbes', absence: state.absence },
    ...(plan === undefined ? [] : [{ kind: 'move', plan } as const]),
    ...announceOwn(state),
  ]
  return { state, effects }
}
