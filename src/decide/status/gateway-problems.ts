import { type Exits, type Gateway, hasEgressIp, openGateways } from '../gateways/gateways.ts'
import type { AddressChoice, Policy } from '../policies/policies.ts'
import type { Served } from '../pools/pool-decisions.ts'
import type { Settings } from '../world.ts'
import type { ReasonOf } from './conditions.ts'

/** Why a policy is not ready, and what to do. */
export interface Problem {
  /** One word in CamelCase, for programs. */
  readonly reason: ReasonOf<'Ready'>
  readonly message: string
}

/** An entry of several that matches no node does not count; the others have its pods. */
export function exitProblems(
  policy: Policy,
  matched: Exits,
  active: Exits,
  { isChained }: Pick<Settings, 'isChained'>,
): readonly Problem[] {
  const isServed = matched.some((gateways) => gateways.length > 0)
  return policy.exits.flatMap(({ address, field }, which) => {
    const gateways = matched[which] ?? []
    if (gateways.length > 0)
      return address.by === 'pool'
        ? poolProblems(active[which] ?? [])
        : addressProblems({ choice: address, field, gateways, isChained })
    const effect = isServed
      ? 'The other gateways carry the traffic.'
      : 'Sallyport drops the traffic that the policy selects.'
    return {
      reason: 'NoGateway',
      message: `No node matches ${field}.nodeSelector. ${effect} Label a node, or change the selector.`,
    }
  })
}

interface ExitWithGateways {
  readonly choice: AddressChoice
  readonly field: string
  readonly gateways: readonly Gateway[]
  readonly isChained: boolean
}

function addressProblems({ choice, field, gateways, isChained }: ExitWithGateways): readonly Problem[] {
  if (choice.by === 'address' && !gateways.some(({ isHolding }) => isHolding)) {
    const names = gateways.map(({ node }) => node.name).join(', ')
    return [
      {
        reason: 'EgressIPNotOnNode',
        message: `Egress IP ${choice.address} is on no gateway (${names}). Add it to an interface of one of them. Until then, replies do not reach the pods.`,
      },
    ]
  }
  const unlessOwn = isChained
    ? " The node's own address does not count, because the other CNI plugin uses it."
    : ''
  return gateways
    .filter((gateway) => !hasEgressIp(gateway))
    .map(({ node }) => ({
      reason: 'NoEgressIP',
      message:
        choice.by === 'interface'
          ? `Interface ${choice.name} of node ${node.name} is missing, or has no address. Create the interface, add an address, or change ${field}.interface.${unlessOwn}`
          : `Node ${node.name} reports no egress IP. Check that its agent runs. Then add an address to its interface with the default route, or set ${field}.interface.${unlessOwn}`,
    }))
}

/** Of a policy that spreads connections: gateways without an egress IP, beside others that have the traffic. */
export function isServedByOthers(
  { spread }: Pick<Policy, 'spread'>,
  active: Exits,
  { reason }: Problem,
): boolean {
  return spread === 'all' && reason === 'NoEgressIP' && active.flat().some(hasEgressIp)
}

/** With addresses from a pool only those count that are to have one; the others stand by with none. */
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

/** One that is left of several is enough for Ready: that is what they are for. */
export function healthProblems({ policy: { spread }, exits, unhealthy }: Served): readonly Problem[] {
  const names = [...new Set(exits.flat().map(({ node }) => node.name))]
  if (spread === 'one' || names.length === 0 || names.some((name) => !unhealthy.has(name))) return []
  return [
    {
      reason: 'NoHealthyGateway',
      message: `No gateway is healthy: ${names.join(', ')}. Nodes still try all of them for new connections. Check these nodes and their agents.`,
    },
  ]
}

export function zoneProblems({ policy, exits, zones, ineligible, unhealthy }: Served): readonly Problem[] {
  if (policy.zoneAffinity !== 'localOnly' || exits.flat().length === 0) return []
  return [...zones]
    .filter((zone) => zone !== undefined)
    .sort()
    .filter((zone) =>
      exits.every((gateways, which) =>
        openGateways(policy, which, gateways, zone, ineligible).active.every(({ node }) =>
          unhealthy.has(node.name),
        ),
      ),
    )
    .map((zone) => ({
      reason: 'NoGatewayInZone',
      message: `No gateway in zone ${zone} is healthy, and azAffinity is localOnly. Traffic that this policy selects from pods in that zone is dropped. Add a gateway to the zone, or change azAffinity.`,
    }))
}
