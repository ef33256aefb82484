import { type Exits, type Gateway, hasEgressIp, openGateways } from '../gateways/gateways.ts'
import type { AddressChoice, Policy } from '../policies/policies.ts'
import type { Served } from '../pools/pool-decisions.ts'
import type { Settings } from '../world.ts'

/** Why a policy is not ready, and what to do. */
export interface Problem {
  /** One word in CamelCase, for programs. */
  readonly reason: string
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
        : addressProblems(address, gateways, isChained ? ' beside the node’s own, which others use' : '')
    const effect = isServed ? 'the other gateways serve its pods' : 'until then the traffic is dropped'
    return {
      reason: 'NoGateway',
      message: `no node matches ${field}.nodeSelector: label a node, or change the selector; ${effect}`,
    }
  })
}

/** `beside` says which addresses do not count. */
function addressProblems(
  choice: AddressChoice,
  gateways: readonly Gateway[],
  beside: string,
): readonly Problem[] {
  if (choice.by === 'address' && !gateways.some(({ isHolding }) => isHolding)) {
    const names = gateways.map(({ node }) => node.name).join(', ')
    return [
      {
        reason: 'EgressIPNotOnNode',
        message: `egress IP ${choice.address} is on no interface of ${names}: add it there, or answers will not come back`,
      },
    ]
  }
  return gateways
    .filter((gateway) => !hasEgressIp(gateway))
    .map(({ node }) => ({
      reason: 'NoEgressIP',
      message:
        choice.by === 'interface'
          ? `interface ${choice.name} of node ${node.name} is missing or has no address${beside}`
          : `node ${node.name} has no interface with a default route${beside && ` that has an address${beside}`}, or its agent does not run`,
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
      { reason: 'NoEgressIP', message: 'no gateway has an address of egressCIDRs: the traffic is dropped' },
    ]
  return served
    .filter(({ isHolding }) => !isHolding)
    .map(({ node, egressIps }) => ({
      reason: 'EgressIPNotOnNode',
      message: `egress IP ${Object.values(egressIps).join(' and ')} is not on ${node.name} yet: its agent puts it there, if it runs and the interface exists`,
    }))
}

/** One that is left of several is enough for Ready: that is what they are for. */
export function healthProblems({ policy: { spread }, exits, unhealthy }: Served): readonly Problem[] {
  const names = [...new Set(exits.flat().map(({ node }) => node.name))]
  if (spread === 'one' || names.length === 0 || names.some((name) => !unhealthy.has(name))) return []
  return [
    {
      reason: 'NoHealthyGateway',
      message: `no gateway is healthy: ${names.join(', ')}; until one is, all are tried`,
    },
  ]
}

export function zoneProblems({ policy, exits, zones, avoided, unhealthy }: Served): readonly Problem[] {
  if (policy.zoneAffinity !== 'localOnly' || exits.flat().length === 0) return []
  return [...zones]
    .filter((zone) => zone !== undefined)
    .sort()
    .filter((zone) =>
      exits.every((gateways, which) =>
        openGateways(policy, which, gateways, zone, avoided).active.every(({ node }) =>
          unhealthy.has(node.name),
        ),
      ),
    )
    .map((zone) => ({
      reason: 'NoGatewayInZone',
      message: `no healthy gateway in zone ${zone}, and azAffinity is localOnly: pods there cannot leave`,
    }))
}
