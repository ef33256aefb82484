import type { Address } from '../../net/address.ts'
import type { Prefix } from '../../net/prefix.ts'
import type { Context } from '../context.ts'
import { policyKey } from '../policies/selected-pods.ts'
import { findUnserved, findUnservedOf } from '../policies/unserved-networks.ts'

/** A policy of which a node is a gateway: what the node must be able to forward. */
export interface CarriedPolicy {
  /** Its kind and name. */
  readonly policy: string
  /** The node's egress IPs. */
  readonly addresses: readonly Address[]
  /** Those to which egress policies apply. */
  readonly destinations: readonly Prefix[]
}

/** The policies of which this node is a gateway with an egress IP. */
export function carriedPolicies({ world, policies, exits, self }: Context): readonly CarriedPolicy[] {
  const unserved = findUnserved(world)
  return policies.flatMap((policy) => {
    if (policy.problems.length > 0) return []
    const own = (exits.get(policy.id) ?? []).flat().filter(({ node }) => node.name === self.name)
    const addresses = [...new Set(own.flatMap(({ egressIps }) => Object.values(egressIps)))]
    const find = findUnservedOf(policy, unserved)
    const destinations = policy.destinations.filter((destination) => find(destination) === undefined)
    if (addresses.length === 0 || destinations.length === 0) return []
    return [{ policy: policyKey(policy), addresses, destinations }]
  })
}
