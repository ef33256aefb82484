import type { AddressConflict } from '../../api/egress-node.ts'
import type { WorldNode } from '../../decide/world.ts'
import type { Address } from '../../net/address.ts'
import { conflictsOf } from './address-claims.ts'
import type { FailoverState } from './state.ts'

/** Names of the gateways that this node probes, sorted. */
export interface Reachability {
  readonly reachable: string[]
  readonly unreachable: string[]
}

export function reachabilityOf({ gateways }: FailoverState, nodes: readonly WorldNode[]): Reachability {
  const namesWhere = (isUnreachable: boolean): string[] =>
    namesOf(nodes, (address) => gateways.get(address)?.isUnreachable === isUnreachable)
  return { reachable: namesWhere(false), unreachable: namesWhere(true) }
}

function namesOf(nodes: readonly WorldNode[], has: (tunnelAddress: Address) => boolean): string[] {
  return nodes
    .filter(({ internalIPs: [first] }) => first !== undefined && has(first))
    .map(({ name }) => name)
    .sort()
}

/** What a node reports to others about gateways and egress IPs. */
interface FailoverReport {
  readonly reachability: Reachability
  /** Names of the gateways to which packets go without a tunnel, sorted. */
  readonly byLink: readonly string[]
  readonly isCutOff: boolean
  readonly conflicts: readonly AddressConflict[]
}

export function reportFailover(state: FailoverState, nodes: readonly WorldNode[]): FailoverReport {
  return {
    reachability: reachabilityOf(state, nodes),
    byLink: namesOf(nodes, (address) => state.gateways.has(address) && state.byLink.has(address)),
    isCutOff: isCutOff(state),
    conflicts: conflictsOf(state),
  }
}

/** Whether this node reaches no other node through the tunnel. */
function isCutOff({ cutOffSinceMs }: FailoverState): boolean {
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
