import type { EgressNode, NodeInterface } from '../../../api/egress-node.ts'
import { type Address, familyOf } from '../../../net/address.ts'
import { covers, familyOfPrefix, type Prefix, parsePrefix } from '../../../net/prefix.ts'
import type { Exits } from '../../gateways/gateways.ts'
import type { Policy } from '../../policies/policies.ts'
import type { TimelessCondition } from '../conditions.ts'
import { someNames } from '../some-names.ts'

/** An egress IP of a gateway, and the interface that has it. */
interface Placed {
  readonly address: Address
  readonly node: string
  readonly on: NodeInterface
}

/** If packets with an egress IP leave by another interface than the one that has the address. */
export function unusedInterfaceConditions(
  { destinations, problems }: Pick<Policy, 'destinations' | 'problems'>,
  exits: Exits,
  egressNodes: readonly EgressNode[],
): readonly TimelessCondition[] {
  if (problems.length > 0) return []
  const placed = placedAddresses(exits, egressNodes)
  const unruled = placed.filter(({ address, on }) => on.withoutRule?.includes(address))
  const unrouted = placed.flatMap((each) => {
    const missed = destinations.filter((destination) => leavesElsewhere(each, destination))
    return missed.length === 0 ? [] : [{ ...each, missed }]
  })
  const messages = [...(unruled.length === 0 ? [] : [explainRules(unruled)]), ...unrouted.map(explainRoutes)]
  if (messages.length === 0) return []
  const reason = unruled.length > 0 ? 'NoRoutingRule' : 'NoDefaultRoute'
  const message = someNames([...new Set(messages)], ' ')
  return [{ type: 'InterfaceNotUsed', status: 'True', reason, message }]
}

function placedAddresses(exits: Exits, egressNodes: readonly EgressNode[]): readonly Placed[] {
  const interfaces = new Map(egressNodes.map(({ metadata, status }) => [metadata.name, status?.interfaces]))
  return exits.flat().flatMap(({ node: { name: node }, egressIps }) =>
    Object.values(egressIps).flatMap((address) => {
      const on = interfaces
        .get(node)
        ?.find(({ addresses, added = [] }) => [...addresses, ...added].includes(address))
      return on === undefined ? [] : [{ address, node, on }]
    }),
  )
}

function leavesElsewhere({ address, on: { withoutDefaultRoute } }: Placed, destination: Prefix): boolean {
  if (!withoutDefaultRoute?.addresses.includes(address)) return false
  if (familyOf(address) !== familyOfPrefix(destination)) return false
  return !withoutDefaultRoute.destinations.some((text) => {
    const reached = parsePrefix(text)
    return reached !== undefined && covers(reached, destination)
  })
}

function explainRules(unruled: readonly Placed[]): string {
  const named = unruled.map(({ address, node, on }) => `${address} (${on.name} of node ${node})`)
  return `Packets with these egress IPs leave by another interface than the one that has the address: ${someNames([...new Set(named)])}. With egressGateway.gatewayForwarding=stack, routing rules choose the interface. Add one on the node: ip rule add from EGRESS_IP lookup TABLE.`
}

function explainRoutes({
  address,
  node,
  on,
  missed,
}: Placed & { readonly missed: readonly Prefix[] }): string {
  return `Packets with egress IP ${address} to ${someNames(missed)} leave node ${node} by another interface than ${on.name}, which has the address, because the node’s routes to these destinations do not use ${on.name}. If they must leave by ${on.name}, add a default route to it: in IPv4 with a higher metric than that of the other interface, in IPv6 with the same metric.`
}
