import type { LinkEntry } from '../../datapath/tables/link-tables.ts'
import type { NodeMacs } from '../../decide/gateways/node-macs.ts'
import type { Tables } from '../../decide/tables.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { lookUpRoute } from '../../linux/route-lookup.ts'
import type { Route } from '../../linux/routes.ts'
import type { Address } from '../../net/address.ts'
import type { NodeDevice } from './node-network.ts'

type DecidedLinks = Pick<NodeMacs, 'ofTunnel'> & Pick<Tables, 'egressIps'>

/**
 * The nodes to which this node's own packets go without a router, by one of its native devices. If another device carries them, for
 * example an encrypting one, the link path would go around it.
 */
export function nodesOnLinks(
  { ofTunnel, egressIps }: DecidedLinks,
  nativeDevices: readonly NodeDevice[],
  routeTo: (address: Address) => Pick<Route, 'ifindex' | 'via' | 'kind'> | undefined,
): ReadonlyMap<Address, LinkEntry> {
  const sources = probeSources(egressIps)
  return new Map(
    [...ofTunnel].flatMap(([tunnelAddress, mac]) => {
      const route = routeTo(tunnelAddress)
      const device = nativeDevices.find(({ index }) => index === route?.ifindex)
      if (route?.kind !== 'unicast' || route.via !== undefined || device?.mac === undefined) return []
      const { index: ifindex, mtu, mac: ownMac } = device
      const probeSource = sources.get(tunnelAddress)
      return [[tunnelAddress, { answeredNs: 0n, probeSource, ifindex, mtu, mac, ownMac }] as const]
    }),
  )
}

/** For each gateway one of its egress IPs. Those that it owns come first. */
function probeSources(egressIps: DecidedLinks['egressIps']): ReadonlyMap<Address, Address> {
  const sorted = [...egressIps].toSorted(([a], [b]) => (a < b ? -1 : 1))
  const owned = sorted.flatMap(([address, { order }]) =>
    order.slice(0, 1).map((owner) => [owner, address] as const),
  )
  const held = sorted.flatMap(([address, { order }]) =>
    order.slice(1).map((holder) => [holder, address] as const),
  )
  return new Map([...held.toReversed(), ...owned.toReversed()])
}

/** Finds routes to nodes, each once until the node's network changes. */
export class RouteFinder {
  readonly #netlink: Netlink
  readonly #known = new Map<Address, Route | undefined>()

  constructor(netlink: Netlink) {
    this.#netlink = netlink
  }

  find(address: Address): Route | undefined {
    if (!this.#known.has(address))
      this.#known.set(address, lookUpRoute(this.#netlink, { destination: address }))
    return this.#known.get(address)
  }

  forget(): void {
    this.#known.clear()
  }
}
