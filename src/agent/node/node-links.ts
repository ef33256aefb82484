import { isDeepStrictEqual } from 'node:util'
import type { LinkEntry } from '../../datapath/tables/link-tables.ts'
import type { NodeMacs } from '../../decide/gateways/node-macs.ts'
import type { EgressIp } from '../../decide/tables.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { lookUpRoute } from '../../linux/route-lookup.ts'
import type { Route } from '../../linux/routes.ts'
import type { Address } from '../../net/address.ts'
import type { NodeDevice } from './node-network.ts'

type Orders = ReadonlyMap<Address, Pick<EgressIp, 'order'>>

interface DecidedLinks extends Pick<NodeMacs, 'ofTunnel'> {
  readonly egressIps: Orders
  /** Egress IPs that no policy uses any more. Their flows need the link, too. */
  readonly lingering: Orders
}

/**
 * The nodes to which this node's own packets go without a router, by one of its native devices. If another device carries them, for
 * example an encrypting one, the link path would go around it.
 */
export function nodesOnLinks(
  { ofTunnel, egressIps, lingering }: DecidedLinks,
  nativeDevices: readonly NodeDevice[],
  routeTo: (address: Address) => Pick<Route, 'ifindex' | 'via' | 'kind'> | undefined,
): ReadonlyMap<Address, LinkEntry> {
  const sources = new Map([...probeSources(lingering), ...probeSources(egressIps)])
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
function probeSources(egressIps: Orders): ReadonlyMap<Address, Address> {
  const sorted = [...egressIps].toSorted(([a], [b]) => (a < b ? -1 : 1))
  const owned = sorted.flatMap(([address, { order }]) =>
    order.slice(0, 1).map((owner) => [owner, address] as const),
  )
  const held = sorted.flatMap(([address, { order }]) =>
    order.slice(1).map((holder) => [holder, address] as const),
  )
  return new Map([...held.toReversed(), ...owned.toReversed()])
}

/**
 * `wanted`, with what the programs have noted meanwhile. If only the source of the probes changes, the path is the same, and
 * packets need not take the tunnel until the next answer. `before`: what was written last. `noted`: reads an entry of the
 * kernel's map.
 */
export function withNotedAnswers(
  wanted: ReadonlyMap<Address, LinkEntry>,
  before: ReadonlyMap<Address, LinkEntry>,
  noted: (node: Address) => LinkEntry | undefined,
): ReadonlyMap<Address, LinkEntry> {
  return new Map(
    [...wanted].map(([node, entry]) => {
      const known = before.get(node)
      if (known === undefined || !isDeepStrictEqual(pathOf(known), pathOf(entry))) return [node, entry]
      if (known.probeSource === entry.probeSource) return [node, known]
      return [node, { ...entry, answeredNs: noted(node)?.answeredNs ?? 0n }]
    }),
  )
}

function pathOf({ answeredNs: _, probeSource: __, ...path }: LinkEntry) {
  return path
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
