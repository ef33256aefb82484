import type { WorldNode } from '../../decide/world.ts'
import type { FailoverState } from './state.ts'

/** Names of the gateways that this node probes, sorted. */
export interface Reachability {
  readonly reachable: string[]
  readonly unreachable: string[]
}

export function reachabilityOf({ gateways }: FailoverState, nodes: readonly WorldNode[]): Reachability {
  const namesOf = (isUnreachable: boolean): string[] =>
    nodes
      .filter(
        ({ internalIPs: [first] }) =>
          first !== undefined && gateways.get(first)?.isUnreachable === isUnreachable,
      )
      .map(({ name }) => name)
      .sort()
  return { reachable: namesOf(false), unreachable: namesOf(true) }
}

/** Whether this node reaches no other node through the tunnel. */
export function isCutOff({ cutOffSinceMs }: FailoverState): boolean {
  return cutOffSinceMs !== undefined
}

/** Egress IPs that the agent could not add or remove, one sentence each. */
export function failoverProblems(state: FailoverState, tunnelPort: number): readonly string[] {
  return [...standing(state, tunnelPort), ...state.poolProblems, ...state.moveProblems]
}

function standing(state: FailoverState, tunnelPort: number): readonly string[] {
  if (state.noMemberBecause !== undefined)
    return [`${state.noMemberBecause} Until then this node holds no egress IP.`]
  if (!isCutOff(state)) return []
  return [
    `This node reaches no other node through the tunnel. Allow UDP port ${tunnelPort} between nodes. Until then this node takes over no egress IP.`,
  ]
}
