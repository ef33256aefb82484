import type { NodeInterface } from '../../../api/egress-node.ts'
import { type Exits, type Gateway, hasEgressIp, openGateways } from '../../gateways/gateways.ts'
import type { Policy } from '../../policies/policies.ts'
import type { Served } from '../../pools/pool-decisions.ts'
import type { ReasonOf } from '../conditions.ts'
import { explainNoAddress, inFull } from './gateway-losses.ts'
import { whereaboutsOf, whereaboutsProblems } from './given-addresses.ts'

/** Why a policy is not ready, and what to do. */
export interface Problem {
  /** One word in CamelCase, for programs. */
  readonly reason: ReasonOf<'Ready'>
  readonly message: string
}

/** A policy's gateways, and what their nodes report. */
export interface ExitsSeen {
  readonly policy: Policy
  /** For each exit, the gateways that its pods use by the rules. */
  readonly matched: Exits
  /** For each exit, the gateways that new flows use now. */
  readonly active: Exits
  readonly isChained: boolean
  /** By node, without addresses that cannot be an egress IP. */
  readonly interfaces: ReadonlyMap<string, Interfaces>
  /** By node, as the agents reported them. */
  readonly reported: ReadonlyMap<string, Interfaces>
}

type Interfaces = readonly NodeInterface[]

/** A problem of an exit. Other gateways may carry the traffic despite it. */
interface ExitProblem extends Problem {
  readonly isServed?: boolean
}

export function exitProblems(seen: ExitsSeen): readonly ExitProblem[] {
  const { policy, matched, active } = seen
  const isServed = matched.some((gateways) => gateways.length > 0)
  const isAnyServing = active.flat().some(hasEgressIp)
  const effect = isServed ? '' : ' Sallyport drops the traffic that the policy selects.'
  return policy.exits.flatMap(({ address, field }, which): readonly ExitProblem[] | ExitProblem => {
    const gateways = matched[which] ?? []
    if (gateways.length === 0)
      return {
        reason: 'NoGateway',
        isServed: isAnyServing,
        message: `No node matches ${field}.nodeSelector.${effect} Label a node, or change the selector.`,
      }
    if (address.by === 'pool') return poolProblems(active[which] ?? [])
    if (address.by === 'address') return whereaboutsProblems(whereaboutsOf(address.address, gateways, seen))
    const isInstead = policy.spread === 'all' ? isAnyServing : (active[which] ?? []).some(hasEgressIp)
    return gateways
      .filter((gateway) => !hasEgressIp(gateway))
      .map((gateway) => ({
        reason: 'NoEgressIP',
        isServed: isInstead,
        message: inFull(explainNoAddress(gateway, address, field, seen)),
      }))
  })
}

/** A problem of a gateway that carries no traffic while others do. */
interface IdleProblem extends ExitProblem {
  readonly reason: ReasonOf<'GatewayIdle'>
}

/**
 * Whether other gateways carry the traffic despite the problem. An exit that matches no node stops no pod. Under a policy with
 * one gateway for each pod, only other matches of the same exit serve its pods.
 */
export function isServedByOthers(problem: ExitProblem): problem is IdleProblem {
  return problem.isServed === true
}

/** Problems of gateways with addresses from a pool. Only active gateways need an address. Standby gateways have none. */
function poolProblems(gateways: readonly Gateway[]): readonly Problem[] {
  const served = gateways.filter(hasEgressIp)
  if (served.length === 0 && gateways.length > 0)
    return [
      {
        reason: 'NoEgressIP',
        message:
          'No gateway has an address from egressCIDRs, so Sallyport drops the traffic that the policy selects. Check that egressCIDRs has a free address and that a gateway is healthy.',
      },
    ]
  return served
    .filter(({ isHolding }) => !isHolding)
    .map(({ node, egressIps }) => ({
      reason: 'EgressIPNotOnNode',
      message: `Egress IP ${Object.values(egressIps).join(' and ')} is not on node ${node.name} yet. Check that the agent of node ${node.name} runs, and that the gateway’s interface exists. The agent then adds it.`,
    }))
}

/** What to do about unhealthy gateways that a message has named. */
const checks =
  'Check that these Nodes are Ready, that their agents run, and that other nodes reach them at the UDP port of the tunnel.'

/** One healthy gateway is enough for Ready, because several gateways are there to replace each other. */
export function healthProblems({ policy: { spread }, exits, unhealthy }: Served): readonly Problem[] {
  const names = [...new Set(exits.flat().map(({ node }) => node.name))]
  if (spread === 'one' || names.length === 0 || names.some((name) => !unhealthy.has(name))) return []
  return [
    {
      reason: 'NoHealthyGateway',
      message: `No gateway is healthy: ${names.join(', ')}. A node that reaches one of them still uses it for new connections. ${checks}`,
    },
  ]
}

/** Pods of a zone without a gateway have none. Unhealthy gateways of a zone are tried, because they may work all the same. */
export function zoneProblems({ policy, exits, zones, ineligible, unhealthy }: Served): readonly Problem[] {
  if (policy.zoneAffinity !== 'localOnly' || exits.flat().length === 0) return []
  const named = [...zones].filter((zone) => zone !== undefined).sort()
  return named.flatMap((zone): readonly Problem[] => {
    const open = exits.flatMap((gateways, which) =>
      openGateways(policy, which, gateways, zone, ineligible).active.map(({ node }) => node.name),
    )
    if (open.some((name) => !unhealthy.has(name))) return []
    return [{ reason: 'NoGatewayInZone', message: explainZone(zone, [...new Set(open)]) }]
  })
}

function explainZone(zone: string, unhealthy: readonly string[]): string {
  return unhealthy.length === 0
    ? `No gateway is in zone ${zone}, and azAffinity is localOnly. Sallyport drops the traffic that this policy selects from pods in that zone. Add a gateway to the zone, or change azAffinity.`
    : `No gateway in zone ${zone} is healthy, and azAffinity is localOnly: ${unhealthy.join(', ')}. A node in that zone that reaches one of these gateways still uses it for new connections. ${checks} Or add a gateway to the zone, or change azAffinity.`
}
