import { familyOf } from '../net/address.ts'
import { resolveCluster, resolveNodes } from './cluster.ts'
import { type Context, gatherContext } from './context.ts'
import { carriedPolicies } from './gateways/carried-policies.ts'
import { sharedAddresses } from './gateways/dedicated-addresses.ts'
import { masqueradeAddresses, resolveEgressIps, resolvePools } from './gateways/egress-ips.ts'
import { tunnelAddressOf } from './gateways/gateways.ts'
import { orphanedAddresses } from './gateways/orphaned-addresses.ts'
import { ownerlessAddresses } from './gateways/outages.ts'
import { resolveWitnesses } from './gateways/witnesses.ts'
import { resolvePods } from './policies/pod-rules.ts'
import { digestGrants, digestPolicies } from './policies/policies.ts'
import { resolveClusterHosts } from './pools/address-conflicts.ts'
import { resolvePoolAddresses } from './pools/pool-addresses.ts'
import { resolveHealthChecks, resolveServices } from './services/services.ts'
import { countDenied } from './status/pods/denied-pods.ts'
import { listRefusals } from './status/refusals.ts'
import type { Self, Tables } from './tables.ts'
import type { World } from './world.ts'

/**
 * Every flow decision that this node needs, from what the API server says and nothing else. A policy that cannot be honoured
 * yields a drop, never a missing entry. Absence would let the pod out under its node's own address, the one thing that this
 * project promises not to do. Throws if this node is not in the world yet, or has no address, because nothing can be decided
 * then.
 */
export function resolve(world: World): Tables {
  const context = gatherContext(world)
  const egressIps = resolveEgressIps(context)
  const orphaned = orphanedAddresses(context, egressIps)
  const cluster = resolveCluster(context, egressIps)
  const { networkProblems, ...pods } = resolvePods(context)
  return {
    ...pods,
    egressIps,
    ownerless: new Set([...ownerlessAddresses(context.exits), ...orphaned.keys()]),
    orphaned,
    pools: resolvePools(context, egressIps),
    poolAddresses: resolvePoolAddresses(context),
    cluster,
    services: resolveServices(context, cluster),
    healthChecks: resolveHealthChecks(world),
    clusterHosts: resolveClusterHosts(world),
    nodes: resolveNodes(context),
    witnesses: resolveWitnesses(context, egressIps),
    policies: new Map(
      context.policies.map(({ id, kind, name, natLog }) => [id, { kind, name, ...(natLog && { natLog }) }]),
    ),
    policiesDigest: digestPolicies(context.policies),
    grantsDigest: digestGrants(context.policies),
    refusals: listRefusals(context, networkProblems),
    denied: countDenied(context, pods),
    carried: carriedPolicies(context),
    self: describeSelf(context),
  }
}

function describeSelf(context: Context): Self {
  const { self, slots, world } = context
  const addresses = world.settings.isChained
    ? (sharedAddresses(world).get(self.name) ?? [])
    : masqueradeAddresses(context)
  return {
    tunnelAddress: tunnelAddressOf(self),
    masquerade4: addresses.find((address) => familyOf(address) === 4),
    masquerade6: addresses.find((address) => familyOf(address) === 6),
    slot: slots.get(self.name),
  }
}
