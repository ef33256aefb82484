import { type Address, parseAddress } from '../../../net/address.ts'
import { contains, type Prefix, parsePrefix } from '../../../net/prefix.ts'
import type { Gateway } from '../../gateways/gateways.ts'
import type { TimelessCondition } from '../conditions.ts'
import type { ExitsSeen, Problem } from './gateway-problems.ts'

/** Where the egressIP of a policy is, if it is not on a gateway. */
interface Whereabouts {
  readonly address: Address
  readonly gateways: readonly Gateway[]
  /** Nodes that have the address, but that the policy does not select. */
  readonly elsewhere: readonly string[]
  /** The gateways' own network, if the address is in it. Hosts there find the address by ARP, not through a router. */
  readonly link: Prefix | undefined
}

/** Returns undefined if one of the gateways has the address. */
export function whereaboutsOf(
  address: Address,
  gateways: readonly Gateway[],
  { interfaces }: Pick<ExitsSeen, 'interfaces'>,
): Whereabouts | undefined {
  if (gateways.some(({ isHolding }) => isHolding)) return undefined
  const elsewhere = [...interfaces].flatMap(([name, all]) =>
    all.some(({ addresses }) => addresses.some((text) => parseAddress(text) === address)) ? [name] : [],
  )
  const link = gateways
    .flatMap(({ node }) => interfaces.get(node.name) ?? [])
    .flatMap(({ subnets = [] }) => subnets.flatMap((text) => parsePrefix(text) ?? []))
    .find((subnet) => contains(subnet, address))
  return { address, gateways, elsewhere, link }
}

const namesOf = (gateways: readonly Gateway[]): string => gateways.map(({ node }) => node.name).join(', ')

/** A problem if no node has the address and it is in the gateways' own network, where no node answers ARP for it. */
export function whereaboutsProblems(found: Whereabouts | undefined): readonly Problem[] {
  if (found?.link === undefined || found.elsewhere.length > 0) return []
  const { address, gateways, link } = found
  return [
    {
      reason: 'EgressIPNotOnNode',
      message: `Egress IP ${address} is in ${link}, a network of the gateways, but none of them has the address: ${namesOf(gateways)}. No node answers for it there, so replies do not reach the pods. Add it to an interface of one of them.`,
    },
  ]
}

/** A condition for an address that works only if the network routes it to a gateway. No node can find that out. */
export function routedConditions(seen: ExitsSeen): readonly TimelessCondition[] {
  const { policy, matched } = seen
  if (policy.problems.length > 0) return []
  const found = policy.exits.flatMap(({ address: choice, field }, which) => {
    const gateways = matched[which] ?? []
    if (choice.by !== 'address' || gateways.length === 0) return []
    const whereabouts = whereaboutsOf(choice.address, gateways, seen)
    return whereabouts === undefined ? [] : [{ field, ...whereabouts }]
  })
  const messages = found.flatMap(({ field, address, gateways, elsewhere, link }) => {
    if (elsewhere.length > 0)
      return `Egress IP ${address} is on node ${elsewhere.join(', ')}, which ${field}.nodeSelector does not match. Replies arrive there, and that node sends them on. Change the selector so that it matches the node.`
    if (link !== undefined) return []
    return `Egress IP ${address} is on no interface. Replies arrive if the network routes ${address} to gateway ${namesOf(gateways)}. Otherwise add it to an interface of the gateway.`
  })
  if (messages.length === 0) return []
  const reason = found.some(({ elsewhere }) => elsewhere.length > 0) ? 'OnAnotherNode' : 'OnNoInterface'
  return [{ type: 'Routed', status: 'True', reason, message: messages.join(' ') }]
}
