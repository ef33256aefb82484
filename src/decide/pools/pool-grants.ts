import { type Address, familyOf, parseAddress } from '../../net/address.ts'
import { type Prefix, parsePrefix } from '../../net/prefix.ts'
import type { Policy } from '../policies/policies.ts'
import { asText } from '../policies/select.ts'
import type { World } from '../world.ts'
import { type EgressIps, type Grants, isOfPool, reservedOf } from './egress-pool.ts'

/*
 * Grants from egressCIDRs are stored in the policy's own status, in the fields that users of this kind know. Every agent
 * watches policies anyway, and the grants are deleted with the policy. The API server refuses a write that is based on an
 * old version, so two operators cannot give one address twice.
 */

/** The addresses that the operator granted to each gateway of a group. */
export function readGrants(groupStatus: unknown): Grants {
  const { egressIPByGatewayIP, egressIPv6ByGatewayIP } = (groupStatus ?? {}) as Record<string, object>
  const grants = new Map<Address, EgressIps>()
  for (const [key, value] of [egressIPByGatewayIP, egressIPv6ByGatewayIP].flatMap((map) =>
    Object.entries(map ?? {}),
  )) {
    const [gateway, address] = [parseAddress(key), parseAddress(asText(value))]
    if (gateway !== undefined && address !== undefined)
      grants.set(gateway, { ...grants.get(gateway), [familyOf(address)]: address })
  }
  return grants
}

/** The policy with changed grants, for each exit. */
export function withGrants(policy: Policy, change: (granted: Grants, which: number) => Grants): Policy {
  const exits = policy.exits.map((exit, which) =>
    exit.address.by === 'pool'
      ? { ...exit, address: { ...exit.address, granted: change(exit.address.granted, which) } }
      : exit,
  )
  return { ...policy, exits }
}

/** Prefixes of older policies. A younger policy cannot give their addresses. */
export function olderPools(policies: readonly Policy[], index: number): readonly Prefix[] {
  return policies.slice(0, index).flatMap(({ egressPool }) => egressPool)
}

/** Removes grants that a status holds from other prefixes, or from before an older policy claimed them. */
export function withoutForeignGrants(policies: readonly Policy[]): Policy[] {
  return policies.map((policy, index) => {
    if (policy.egressPool.length === 0) return policy
    const pool = { prefixes: policy.egressPool, olderPrefixes: olderPools(policies, index) }
    const keepOurs = (ips: EgressIps): EgressIps =>
      Object.fromEntries(Object.entries(ips).filter(([, address]) => isOfPool(pool, address)))
    return withGrants(
      policy,
      (granted) => new Map([...granted].map(([gateway, ips]) => [gateway, keepOurs(ips)])),
    )
  })
}

/**
 * Addresses that no gateway can have, whatever a pool contains: those of routers, and those that no host on a node's link
 * can have.
 */
export function reservedAddresses({ egressNodes }: Pick<World, 'egressNodes'>): ReadonlySet<Address> {
  const interfaces = egressNodes.flatMap(({ status }) => status?.interfaces ?? [])
  const routers = interfaces.flatMap(({ routers: of = [] }) => of.flatMap((text) => parseAddress(text) ?? []))
  const links = interfaces.flatMap(({ subnets = [] }) => subnets.flatMap((text) => parsePrefix(text) ?? []))
  return new Set([...routers, ...links.flatMap(reservedOf)])
}

/** Addresses that no pool may give, because nodes have them or a policy names them. */
export function addressesInUse(
  { nodes, egressNodes }: Pick<World, 'nodes' | 'egressNodes'>,
  policies: readonly Policy[],
): ReadonlySet<Address> {
  const onInterfaces = egressNodes
    .flatMap(({ status }) => status?.interfaces ?? [])
    .flatMap(({ addresses }) => addresses.flatMap((text) => parseAddress(text) ?? []))
  const named = policies
    .flatMap(({ exits }) => exits)
    .flatMap(({ address }) => (address.by === 'address' ? address.address : []))
  return new Set([...nodes.flatMap(({ internalIPs }) => internalIPs), ...onInterfaces, ...named])
}
