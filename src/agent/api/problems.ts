import { failoverProblems } from '../failover/failover-views.ts'
import { describeRefusals } from '../pods/refused-pods.ts'
import { portProblems } from '../ports/port-state.ts'
import type { Snapshot } from '../snapshot.ts'

interface ProblemContext {
  readonly self: string
  readonly tunnelPort: number
  readonly nowMs: number
  /** Why pods start without our plugin, or cannot start. */
  readonly pluginProblems: readonly string[]
}

/** The problems of this node, one sentence each with what to do. Empty if there are none. */
export function describeProblems(snapshot: Snapshot, context: ProblemContext): readonly string[] {
  const { decided, failover, ports, podProblems } = snapshot
  return [
    ...context.pluginProblems,
    ...failoverProblems(failover, context.tunnelPort),
    ...portProblems(ports, context.nowMs),
    ...(decided?.applied.hooks.problems ?? []),
    ...(decided?.applied.healthCheckProblems ?? []),
    ...podProblems,
    ...describeRefusals(decided?.tables.refusals ?? []),
    ...apiServerProblems(snapshot),
    ...failures(snapshot, context.self),
    ...(decided !== undefined && decided.tables.self.slot === undefined ? [noSlot] : []),
  ]
}

const noSlot =
  'The operator has not given this node a slot yet. Traffic that a policy selects is dropped until it has. Check that the operator runs.'

function apiServerProblems({ missing, isStale }: Snapshot): readonly string[] {
  if (missing.length > 0)
    return [
      `The agent has not listed ${missing.join(', ')} from the API server yet. It changes nothing until it has.`,
    ]
  return isStale ? ['The API server does not answer. The node continues with what it last received.'] : []
}

function failures({ applyFailure, reportFailure }: Snapshot, self: string): readonly string[] {
  return [
    ...(applyFailure === undefined ? [] : [`Applying the tables failed: ${applyFailure}`]),
    ...(reportFailure === undefined
      ? []
      : [`Writing the status of EgressNode ${self} failed: ${reportFailure}`]),
  ]
}
