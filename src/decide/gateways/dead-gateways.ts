import { type Address, familyOf } from '../../net/address.ts'
import type { Served } from '../pools/pool-decisions.ts'
import type { TimelessCondition } from '../status/conditions.ts'
import type { Problem } from '../status/policy-conditions/gateway-problems.ts'
import { type Gateway, tunnelAddressOf } from './gateways.ts'

/** For each egress IP the gateways that may answer for it, by tunnel address, the owner first. */
export type Orders = ReadonlyMap<Address, readonly Address[]>

/** An unhealthy gateway of a policy under which each pod has one gateway. */
interface DeadGateway {
  readonly message: string
  readonly isAnswered: boolean
}

/** What to do about an unhealthy gateway. */
export function gatewayChecks(name: string): string {
  return `Check that Node ${name} is Ready, that its agent runs, and that other nodes reach it at the UDP port of the tunnel.`
}

const secondGateway =
  ' Or label a second node on the same layer-2 network, which then takes the egress IP over.'

/** An unhealthy gateway stays the pod's gateway. A successor on the same link answers for its egress IP. */
function deadGateways({ policy, exits, unhealthy }: Served, orders: () => Orders): readonly DeadGateway[] {
  if (policy.spread === 'all') return []
  const names = new Map(exits.flat().map(({ node }) => [tunnelAddressOf(node), node.name]))
  return exits.flatMap(([gateway, ...standby]) => {
    if (gateway === undefined || !unhealthy.has(gateway.node.name)) return []
    const bySuccessor = Map.groupBy(Object.values(gateway.egressIps), (address) =>
      (orders().get(address) ?? [])
        .map((each) => names.get(each))
        .find((name) => name !== undefined && !unhealthy.has(name)),
    )
    return [...bySuccessor].map(([successor, addresses]) => {
      const those = addresses.join(' and ')
      const canHaveSuccessor =
        successor === undefined && !addresses.some((each) => gateway.node.internalIPs.includes(each))
      const who =
        successor === undefined
          ? `No other gateway can answer for egress IP ${those}. ${whatHappens(addresses, standby, unhealthy)}`
          : `Node ${successor} answers for egress IP ${those}.`
      return {
        message: `Gateway ${gateway.node.name} is not healthy. ${who} ${gatewayChecks(gateway.node.name)}${canHaveSuccessor ? secondGateway : ''}`,
        isAnswered: successor !== undefined,
      }
    })
  })
}

/** To connections of an egress IP for which no gateway answers. */
function whatHappens(
  addresses: readonly Address[],
  standby: readonly Gateway[],
  unhealthy: Served['unhealthy'],
): string {
  const isServed = addresses.every((address) =>
    standby.some(({ node, egressIps }) => {
      const own = egressIps[familyOf(address)]
      return own !== undefined && own !== address && !unhealthy.has(node.name)
    }),
  )
  return isServed
    ? 'Open connections wait. New connections use other gateways, with their egress IPs.'
    : 'Open connections wait, and so do new ones.'
}

/** If a successor answers for the address, nothing is lost, and the status still reports the unhealthy gateway. */
export function deadGatewayConditions(served: Served, orders: () => Orders): readonly TimelessCondition[] {
  const dead = deadGateways(served, orders)
  if (dead.length === 0) return []
  const reason = dead.every(({ isAnswered }) => isAnswered) ? 'AnotherAnswers' : 'NobodyAnswers'
  const message = dead.map((each) => each.message).join(' ')
  return [{ type: 'GatewayUnhealthy', status: 'True', reason, message }]
}

export function deadGatewayProblems(served: Served, orders: () => Orders): readonly Problem[] {
  return deadGateways(served, orders)
    .filter(({ isAnswered }) => !isAnswered)
    .map(({ message }) => ({ reason: 'NoHealthyGateway', message }))
}
