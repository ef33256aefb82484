import type { Address, Family } from '../../net/address.ts'
import type { Policy } from '../policies/policies.ts'
import type { Group } from '../tables.ts'
import { type Gateway, type OpenGateways, openForFamily } from './gateways.ts'

/**
 * The egress IPs from which a new flow gets one, chosen as `choose_egress_ip` in bpf/holder.h chooses: the first of four
 * passes that finds any. The datapath also avoids an owner that failed too often lately, and this function does not.
 */
export function chosenForNewFlows(
  group: Group | undefined,
  orderOf: (address: Address) => readonly string[],
  unreachable: ReadonlySet<string>,
): ReadonlySet<Address> {
  if (group === undefined) return new Set()
  const { preferred, standby, keepsAddress } = group
  const byOwner = (address: Address): boolean => {
    const [owner] = orderOf(address)
    return owner !== undefined && !unreachable.has(owner)
  }
  const byAnybody = (address: Address): boolean => orderOf(address).some((name) => !unreachable.has(name))
  const passes = keepsAddress
    ? [
        preferred.filter(byOwner),
        preferred.filter(byAnybody),
        standby.filter(byOwner),
        standby.filter(byAnybody),
      ]
    : [
        preferred.filter(byOwner),
        standby.filter(byOwner),
        preferred.filter(byAnybody),
        standby.filter(byAnybody),
      ]
  return new Set(passes.find((found) => found.length > 0) ?? [])
}

/** Which gateways answer now. Gateways are given by name. */
export interface Answering {
  /** The gateways that may answer for an egress IP, the owner first. */
  readonly orderOf: (address: Address) => readonly string[]
  readonly unreachable: ReadonlySet<string>
}

/**
 * The gateways whose egress IPs new flows to destinations of a family get now. Under a policy with one gateway for each pod it
 * is the first match, unless nobody answers for its egress IP. Empty if no gateway has an egress IP of the family.
 */
export function servingGateways(
  policy: Pick<Policy, 'spread'>,
  open: OpenGateways,
  family: Family,
  { orderOf, unreachable }: Answering,
): readonly Gateway[] {
  const { active, standby } = openForFamily(policy, open, family)
  const [first] = active
  if (policy.spread === 'all' || first === undefined) return active
  if (first.outage === undefined && !unreachable.has(first.node.name)) return [first]
  const addressesOf = (gateways: readonly Gateway[]): readonly Address[] =>
    gateways.flatMap(({ egressIps }) => egressIps[family] ?? [])
  const preferred = addressesOf([first])
  const others = addressesOf(standby).filter((address) => !preferred.includes(address))
  const chosen = chosenForNewFlows({ preferred, standby: others, keepsAddress: true }, orderOf, unreachable)
  const serving = [...chosen].flatMap(
    (address) => [first, ...standby].find(({ egressIps }) => egressIps[family] === address) ?? [],
  )
  return serving.length > 0 ? serving : [first]
}
