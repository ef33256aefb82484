import { isDeepStrictEqual } from 'node:util'
import type { Tables } from '../../decide/tables.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { addPortRule, deletePortRule, listPortRules, type PortRule } from '../../linux/port-rules.ts'
import type { Route } from '../../linux/routes.ts'
import { familyOf } from '../../net/address.ts'
import { contains, hostPrefix, type Prefix } from '../../net/prefix.ts'
import { routeInto, type ServiceWire } from './service-device.ts'
import { syncRoutes } from './tunnel-routes.ts'

/*
 * External addresses of Services in a subnet of this node. The node would ask the link who has such an address before it sends a packet,
 * and perhaps no host answers: the product that announces the address may run on this node itself. So the kernel must find the device
 * for Services by a route. It must do so for the ports of Services only, because another server may have the other ports. Hence a rule for
 * each port, and a routing table for each rule. Programs look up routes without ports, so these rules never match for them.
 *
 * Each rule costs every route lookup of the node a comparison. All other external addresses need none (bpf/from-process.h).
 */

interface LinkServices {
  readonly rule: PortRule
  readonly routes: readonly Route[]
}

/** The tables have numbers that no person would choose. */
const tableOf = (protocol: number, port: number): number => 0x53000000 + protocol * 0x10000 + port

export function linkServices(
  { services, cluster, self }: Pick<Tables, 'services' | 'cluster' | 'self'>,
  subnets: readonly Prefix[],
  wire: ServiceWire,
  mtu: number,
): LinkServices[] {
  const external = services.filter(
    ({ kind, address, port }) =>
      (kind === 'ExternalIPs' || kind === 'LoadBalancer') &&
      port > 0 &&
      subnets.some((subnet) => contains(subnet, address)) &&
      !cluster.has(hostPrefix(address)),
  )
  const byRule = Map.groupBy(external, ({ address, protocol, port }) =>
    [familyOf(address), protocol, port].join(' '),
  )
  return [...byRule.values()].flatMap((ports) => {
    const [first] = ports
    if (first === undefined) return []
    const { address, protocol, port } = first
    const table = tableOf(protocol, port)
    /* The node's own address, as without the Service. The program sees it before it decides whether the Service admits the node. */
    const source = familyOf(address) === 4 ? self.masquerade4 : self.masquerade6
    const routes = ports.flatMap((each) => routeInto(wire, each.address, { mtu, source }) ?? [])
    return routes.length === 0
      ? []
      : [
          {
            rule: { family: familyOf(address), protocol, port, table },
            routes: routes.map((each) => ({ ...each, table })),
          },
        ]
  })
}

/** A table has its routes before a rule leads there. Routes of a table without a rule are of no use, and disappear with the device. */
export function syncLinkServices(
  netlink: Netlink,
  { hostIfindex }: ServiceWire,
  desired: readonly LinkServices[],
): void {
  const present = listPortRules(netlink)
  const isIn = (rule: PortRule, rules: readonly PortRule[]): boolean =>
    rules.some((each) => isDeepStrictEqual(each, rule))
  const wanted = desired.map(({ rule }) => rule)
  for (const rule of present) if (!isIn(rule, wanted)) deletePortRule(netlink, rule)
  const tables = new Set([...present, ...wanted].map(({ table }) => table))
  for (const table of tables)
    syncRoutes(
      netlink,
      hostIfindex,
      desired.flatMap(({ rule, routes }) => (rule.table === table ? routes : [])),
      table,
    )
  for (const rule of wanted) if (!isIn(rule, present)) addPortRule(netlink, rule)
}
