import type { Address } from '../../net/address.ts'
import {
  activeAnywhere,
  type Exits,
  type Gateway,
  type IneligibleNodes,
  tunnelAddressOf,
} from '../gateways/gateways.ts'
import type { Policy } from '../policies/policies.ts'
import { type EgressPool, grantFromPool } from './egress-pool.ts'
import { withGrants } from './pool-grants.ts'

/** A policy with the nodes that it selects. */
export interface Served {
  readonly policy: Policy
  readonly exits: Exits
  readonly zones: ReadonlySet<string | undefined>
  readonly ineligible: IneligibleNodes
  /** The names of ineligible nodes that do not work. A cordoned node still works. */
  readonly unhealthy: ReadonlySet<string>
}

/**
 * Gives each active gateway its address. An invalid policy keeps what it has, because its user is probably mending it. A
 * standby gateway gets no address, so that a pool need not be larger than maxGatewayNodes.
 */
export function grantPool(
  { policy, exits, zones, ineligible }: Omit<Served, 'unhealthy'>,
  pool: EgressPool,
  addressesInUse: ReadonlySet<Address>,
): { readonly policy: Policy; readonly unserved: readonly Gateway[] } {
  if (pool.prefixes.length === 0 || policy.problems.length > 0) return { policy, unserved: [] }
  const actives = exits.map((gateways, which) => activeAnywhere(policy, which, gateways, zones, ineligible))
  const groups = policy.exits.map(({ address }, which) => {
    const active = actives[which] ?? []
    const absent = (exits[which] ?? []).filter(
      (gateway) => ineligible.has(gateway.node.name) && !active.includes(gateway),
    )
    return {
      active: active.map(({ node }) => tunnelAddressOf(node)),
      absent: absent.map(({ node }) => tunnelAddressOf(node)),
      granted: address.by === 'pool' ? address.granted : new Map(),
    }
  })
  const decided = grantFromPool(pool, groups, addressesInUse)
  const unserved = new Set(actives.flat().filter(({ node }) => decided.unserved.has(tunnelAddressOf(node))))
  return {
    policy: withGrants(policy, (granted, which) => decided.groups[which] ?? granted),
    unserved: [...new Map([...unserved].map((gateway) => [gateway.node.name, gateway])).values()],
  }
}
