import type { Address } from '../../net/address.ts'
import { familyOfPrefix } from '../../net/prefix.ts'
import type { Orders } from '../gateways/dead-gateways.ts'
import { activeAnywhere, type Exits, type Gateway, tunnelAddressOf } from '../gateways/gateways.ts'
import { servingGateways } from '../gateways/new-flows.ts'
import type { Served } from '../pools/pool-decisions.ts'

/** For each exit the gateways that its pods use by the rules, whatever their state. */
export function matchedGateways({ policy, exits }: Served): Exits {
  return policy.spread === 'one' ? exits.map((gateways) => gateways.slice(0, 1)) : exits
}

/** For each exit the gateways that new flows use, with the egress IPs that they use. */
export function activeGateways(served: Served, orders: () => Orders): Exits {
  const { policy, exits, zones, ineligible } = served
  return exits.map((gateways, which) =>
    policy.spread === 'one'
      ? activeOfOne(gateways, served, orders)
      : activeAnywhere(policy, which, gateways, zones, ineligible),
  )
}

/** Usually the first match. Without an egress IP of a family, or without anyone who answers for it, others serve. */
function activeOfOne(
  gateways: readonly Gateway[],
  { policy, unhealthy }: Served,
  orders: () => Orders,
): readonly Gateway[] {
  const names = new Map(gateways.map(({ node }) => [tunnelAddressOf(node), node.name]))
  const orderOf = (address: Address) => (orders().get(address) ?? []).map((each) => names.get(each) ?? each)
  const open = { active: gateways.slice(0, 1), standby: gateways.slice(1) }
  const serving = new Map(
    [...new Set(policy.destinations.map(familyOfPrefix))].map((family) => [
      family,
      servingGateways(policy, open, family, { orderOf, unreachable: unhealthy }),
    ]),
  )
  const all = gateways.filter((gateway) => [...serving.values()].flat().includes(gateway))
  if (all.length < 2) return all.length === 0 ? open.active : all
  return all.map((gateway) => {
    const families = [...serving].flatMap(([family, of]) => (of.includes(gateway) ? family : []))
    return {
      ...gateway,
      egressIps: Object.fromEntries(families.map((family) => [family, gateway.egressIps[family]])),
    }
  })
}
