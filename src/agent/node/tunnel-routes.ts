import type { Tables } from '../../decide/tables.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { deleteRoute, listRoutes, putRoute, type Route } from '../../linux/routes.ts'
import { familyOfPrefix } from '../../net/prefix.ts'
import type { Overlay } from '../plan.ts'

/** VNI of traffic between pods and nodes: TUNNEL_POD of bpf/types.h. */
export const podTunnelId = 1n

/**
 * The routes by which the node itself reaches pods of other nodes: through the tunnel, as its own pods do. Nodes reach each
 * other through the underlay, which the tunnel itself needs.
 */
export function tunnelRoutes(tables: Tables, overlay: Overlay): Route[] {
  return [...tables.cluster].flatMap(([prefix, destination]) => {
    if (destination.kind !== 'pods') return []
    const source = familyOfPrefix(prefix) === 4 ? tables.self.masquerade4 : tables.self.masquerade6
    return [
      {
        destination: prefix,
        kind: 'unicast' as const,
        ifindex: overlay.ifindex,
        scope: 'link' as const,
        mtu: overlay.mtu,
        ...(source === undefined ? {} : { source }),
        tunnel: { id: podTunnelId, destination: destination.tunnelAddress },
      },
    ]
  })
}

/**
 * Makes `desired` the routes of one device into the tunnel, or by a next hop, in the main table or another one. It leaves correct routes
 * alone.
 */
export function syncRoutes(
  netlink: Netlink,
  ifindex: number,
  desired: readonly Route[],
  table?: number,
): void {
  const missing = new Map(desired.map((route) => [route.destination, route]))
  for (const family of [4, 6] as const)
    for (const route of listRoutes(netlink, { family, ifindex, ...(table === undefined ? {} : { table }) })) {
      /* The kernel's own routes of a device (link-local, multicast) must not be removed. */
      if (route.tunnel === undefined && route.via === undefined) continue
      const wanted = missing.get(route.destination)
      if (wanted === undefined) deleteRoute(netlink, route)
      else if (isSame(route, wanted)) missing.delete(route.destination)
    }
  for (const route of missing.values()) putRoute(netlink, route)
}

function isSame(one: Route, other: Route): boolean {
  return (
    one.mtu === other.mtu &&
    one.source === other.source &&
    one.via === other.via &&
    one.tunnel?.id === other.tunnel?.id &&
    one.tunnel?.destination === other.tunnel?.destination
  )
}
