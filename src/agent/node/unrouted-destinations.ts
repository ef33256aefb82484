import type { UnroutedPolicy } from '../../api/egress-node.ts'
import type { CarriedPolicy } from '../../decide/gateways/carried-policies.ts'
import type { Netlink } from '../../linux/netlink.ts'
import type { Wanted } from '../../linux/route-lookup.ts'
import { listRoutes, type Route } from '../../linux/routes.ts'
import { type Address, type Family, familyOf, parseAddress } from '../../net/address.ts'
import {
  addressAt,
  contains,
  covers,
  familyOfPrefix,
  hostLength,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixLength,
} from '../../net/prefix.ts'
import { boundDevices } from './native-devices.ts'
import type { NodeDevice } from './node-network.ts'

/** The interfaces to this node's kernel. Without `hasRoute` nothing is known of routes. */
interface Kernel {
  readonly netlink: Netlink
  readonly hasRoute?: (wanted: Wanted) => boolean
}

interface Network {
  readonly devices: readonly NodeDevice[]
  /** Networks inside the cluster. A route to one of them does not lead to a policy's destination. */
  readonly inside: readonly Prefix[]
}

/** Limits of a node's report. */
const maxPolicies = 64
const maxDestinations = 16

/**
 * Finds the destinations of policies to which this node, their gateway, has no route. It asks the kernel about a few addresses of
 * each prefix, once until the node's network changes.
 */
export class UnroutedDestinations {
  readonly #kernel: Kernel
  readonly #known = new Map<string, boolean>()
  #routes: readonly Route[] | undefined

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  forget(): void {
    this.#known.clear()
    this.#routes = undefined
  }

  /** Undefined if nothing is known. The policies without any route come first. */
  list(carried: readonly CarriedPolicy[], network: Network): readonly UnroutedPolicy[] | undefined {
    const { hasRoute } = this.#kernel
    if (hasRoute === undefined) return undefined
    const bound = boundDevices(network.devices)
    const present = new Set(network.devices.flatMap(({ addresses }) => addresses))
    const isUnrouted = (address: Address, destination: Prefix): boolean => {
      const ifindex = bound.get(address)
      const way = {
        ...(present.has(address) ? { source: address } : {}),
        ...(ifindex === undefined ? {} : { ifindex }),
      }
      const question = [destination, way.source, ifindex].join(' ')
      const known =
        this.#known.get(question) ?? !this.#leadsTo(destination, way, { hasRoute, inside: network.inside })
      this.#known.set(question, known)
      return known
    }
    return carried
      .flatMap(({ policy, addresses, destinations }) => {
        const ofFamily = (family: Family) => addresses.filter((address) => familyOf(address) === family)
        const served = destinations.filter((each) => ofFamily(familyOfPrefix(each)).length > 0)
        const unrouted = served.filter((destination) =>
          ofFamily(familyOfPrefix(destination)).every((address) => isUnrouted(address, destination)),
        )
        if (unrouted.length === 0) return []
        const all = unrouted.length === served.length
        return [{ policy, all, destinations: unrouted.slice(0, maxDestinations) }]
      })
      .toSorted((a, b) => Number(b.all) - Number(a.all) || (a.policy < b.policy ? -1 : 1))
      .slice(0, maxPolicies)
  }

  #leadsTo(
    destination: Prefix,
    way: Omit<Wanted, 'destination'>,
    { hasRoute, inside }: Required<Pick<Kernel, 'hasRoute'>> & Pick<Network, 'inside'>,
  ): boolean {
    const examples = examplesOf(destination)
    if (examples.length === 0) return true
    if (examples.some((example) => hasRoute({ destination: example, ...way }))) return true
    this.#routes ??= ([4, 6] as const).flatMap((family) =>
      listRoutes(this.#kernel.netlink, { family, table: 'any' }),
    )
    return this.#routes.some(
      (route) =>
        isWithin(route, destination, inside) &&
        (route.ifindex ?? way.ifindex) === (way.ifindex ?? route.ifindex),
    )
  }
}

/** A route to a part of the destination. For a destination that is everything, a network of the node's own links is no such part. */
function isWithin({ kind, destination, via }: Route, wanted: Prefix, inside: readonly Prefix[]): boolean {
  if (kind !== 'unicast' || prefixLength(destination) === 0 || !covers(wanted, destination)) return false
  if (prefixLength(wanted) === 0 && via === undefined) return false
  return !inside.some((each) => covers(each, destination))
}

/** Prefixes in which no packet has its destination, so that the kernel has no answer. */
const unusable = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/8', 'fe80::/10', 'ff00::/8'].flatMap(
  (text) => parsePrefix(text) ?? [],
)
/** In prefixes that contain nearly everything. */
const wellKnown = ['1.0.0.1', '198.41.0.4', '2001:500::1', '2a00::1'].flatMap(
  (text) => parseAddress(text) ?? [],
)

/** Addresses for which the whole prefix stands, none of them its first or its last one. */
function examplesOf(prefix: Prefix): readonly Address[] {
  const length = hostLength(prefixAddress(prefix)) - prefixLength(prefix)
  const edges =
    length < 2
      ? [prefixAddress(prefix)]
      : [addressAt(prefix, 1), addressAt(prefix, (1n << BigInt(length)) - 2n)]
  return [...edges, ...wellKnown.filter((address) => contains(prefix, address))].filter(
    (address) => !unusable.some((each) => contains(each, address)),
  )
}
