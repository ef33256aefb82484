import type { GroupStatus } from '../../api/isovalent-egress-gateway-policy.ts'
import type { Family } from '../../net/address.ts'
import {
  activeAnywhere,
  type Gateway,
  hasEgressIp,
  openGateways,
  tunnelAddressOf,
} from '../gateways/gateways.ts'
import type { Exit } from '../policies/policies.ts'
import type { Served } from '../pools/pool-decisions.ts'

/**
 * For each group its active and its healthy gateways, by node IP, in the order of their names. An invalid policy has no
 * active gateway. A gateway without an egress IP is not active.
 */
export function describeGroups({
  policy,
  exits,
  zones,
  ineligible,
  unhealthy,
}: Served): readonly GroupStatus[] {
  const isValid = policy.problems.length === 0
  const inUse = (gateways: readonly Gateway[]): string[] =>
    isValid ? nodeIps(gateways.filter(hasEgressIp)) : []
  const names = [...zones].filter((zone) => zone !== undefined).sort()
  return policy.exits.map((exit, which) => {
    const gateways = exits[which] ?? []
    const inZone = (zone: string): string[] =>
      inUse(openGateways(policy, which, gateways, zone, ineligible).active)
    const chosen = activeAnywhere(policy, which, gateways, zones, ineligible)
    /* A standby gateway needs no address from the pool yet. A chosen gateway without an egress IP cannot serve. */
    const unable = new Set(chosen.filter((gateway) => !hasEgressIp(gateway)))
    return {
      activeGatewayIPs: inUse(chosen),
      ...(policy.zoneAffinity === 'disabled'
        ? {}
        : { activeGatewayIPsByAZ: Object.fromEntries(names.map((zone) => [zone, inZone(zone)])) }),
      healthyGatewayIPs: nodeIps(
        gateways.filter((gateway) => !unhealthy.has(gateway.node.name) && !unable.has(gateway)),
      ),
      ...describeGrants(exit),
    }
  })
}

function nodeIps(gateways: readonly Gateway[]): string[] {
  return gateways.map(({ node }) => tunnelAddressOf(node))
}

function describeGrants({ address }: Exit): Partial<GroupStatus> {
  if (address.by !== 'pool') return {}
  const ofFamily = (family: Family): Record<string, string> =>
    Object.fromEntries(
      [...address.granted].flatMap(([gateway, ips]) =>
        ips[family] === undefined ? [] : [[gateway, ips[family]]],
      ),
    )
  const [ipv4, ipv6] = [ofFamily(4), ofFamily(6)]
  return {
    ...(Object.keys(ipv4).length === 0 ? {} : { egressIPByGatewayIP: ipv4 }),
    ...(Object.keys(ipv6).length === 0 ? {} : { egressIPv6ByGatewayIP: ipv6 }),
  }
}
