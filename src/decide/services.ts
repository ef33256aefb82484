import { isDeepStrictEqual } from 'node:util'
import { type Address, familyOf } from '../net/address.ts'
import { contains, type Prefix } from '../net/prefix.ts'
import type { Context } from './context.ts'
import { type ClientPlace, clientPlace, endpointsForPlace } from './service-topology.ts'
import type { Endpoint, ServicePort, Tables } from './tables.ts'
import type { NamedPort, World, WorldService } from './world.ts'

/** In chained mode, a new flow looks through as many: MAX_ENDPOINTS of bpf/types.h. */
export const maxEndpoints = 32

/** IPPROTO_*, of what can be translated. */
const translatable = { TCP: 6, UDP: 17 } as const

/**
 * The key of an entry without a port. In chained mode it stands for all packets that have no TCP or UDP port, because the stack would send
 * SCTP packets to the Service out of the cluster. In stand-alone mode it stands for all ports that the Service does not have.
 */
const noPort = { port: 0, protocol: 0 } as const

/** All Services if Sallyport replaces kube-proxy; in chained mode those that lead out of the cluster. */
export function resolveServices(context: Context, cluster: Tables['cluster']): Tables['services'] {
  const { services = [], settings } = context.world
  if (services.length === 0) return []
  if (settings.replacesKubeProxy) return resolveAll(context.world)
  return settings.isChained ? resolveOutside(context, cluster) : []
}

type EndpointsOf = (service: WorldService, address: Address, port: NamedPort) => UsableEndpoints

interface UsableEndpoints {
  readonly endpoints: readonly Endpoint[]
  readonly leaving: readonly Endpoint[]
}

/** There may be thousands, and most reconciliations are about something else. */
const known = new WeakMap<
  readonly WorldService[],
  {
    readonly endpoints: World['endpoints'] | undefined
    readonly place: ClientPlace
    readonly resolved: Tables['services']
  }
>()

function resolveAll(world: World): Tables['services'] {
  const { services = [], endpoints } = world
  const place = clientPlace(world)
  const before = known.get(services)
  if (before !== undefined && before.endpoints === endpoints && isDeepStrictEqual(before.place, place))
    return before.resolved
  const endpointsOf = endpointFinder(world, place)
  const own = services.flatMap((service) => portsOf(service, endpointsOf))
  /* Two Services may claim the same external address. A cluster IP comes first, then the older name. */
  const external = services
    .toSorted((a, b) => nameOf(a).localeCompare(nameOf(b)))
    .flatMap((service) => externalPortsOf(service, endpointsOf))
  const ports = [...own, ...external].filter(({ protocol }) => protocol !== noPort.protocol)
  const distinctPorts = new Map(
    ports.toReversed().map((each) => [`${each.address} ${each.port} ${each.protocol}`, each]),
  )
  const resolved = [...[...distinctPorts.values()].toReversed(), ...services.flatMap(otherPortsOf)]
  known.set(services, { endpoints, place, resolved })
  return resolved
}

const nameOf = ({ namespace, name }: WorldService): string => `${namespace}/${name}`

/** A pod that calls an external address gets an endpoint of any node, whatever the Service's traffic policies say. */
function externalPortsOf(service: WorldService, endpointsOf: EndpointsOf): readonly ServicePort[] {
  return service.external.flatMap(({ address, kind }) =>
    portsOf({ ...service, addresses: [address], isLocal: false }, endpointsOf).map((port) => ({
      ...port,
      kind,
    })),
  )
}

/** For all ports that the Service does not have. External addresses have none, because other hosts may have the address, too. */
function otherPortsOf(service: WorldService): readonly ServicePort[] {
  return service.addresses.map((address) => ({
    ...entryOf(service, address),
    ...noPort,
    endpoints: [],
    leaving: [],
  }))
}

/**
 * kube-proxy would translate these in the stack, past the policies. Nor do hints keep an endpoint from its policy: a kube-proxy that
 * ignores them could still choose it. Endpoints inside the cluster are not listed, because no
 * policy applies to them.
 */
function resolveOutside({ world, policies }: Context, cluster: Tables['cluster']): Tables['services'] {
  const inside = [...cluster.keys()]
  const selected = policies.flatMap(({ destinations }) => destinations)
  const endpointsOf = endpointFinder(world)
  return (world.services ?? [])
    .flatMap((service) => portsOf(service, endpointsOf))
    .map((port) => ({
      ...port,
      endpoints: selectedFirst(
        port.endpoints.filter(({ address }) => !inside.some((prefix) => contains(prefix, address))),
        selected,
      ).slice(0, maxEndpoints),
      leaving: [],
    }))
    .filter(({ endpoints }) => endpoints.length > 0)
}

function portsOf(service: WorldService, endpointsOf: EndpointsOf): readonly ServicePort[] {
  return service.addresses.flatMap((address) =>
    service.ports.map((port) => ({
      ...entryOf(service, address),
      ...(port.protocol in translatable
        ? { port: port.port, protocol: translatable[port.protocol as 'TCP'] }
        : noPort),
      ...endpointsOf(service, address, port),
    })),
  )
}

const entryOf = (service: WorldService, address: Address) => ({
  service: nameOf(service),
  kind: 'ClusterIP' as const,
  address,
  affinityMs: service.affinityMs,
})

/**
 * Finds the endpoints that new flows get, by kube-proxy's rule: the ready endpoints, or, if none is ready, the terminating endpoints that
 * still serve. With `internalTrafficPolicy: Local`, only endpoints on this node count. Otherwise those that hints keep for clients
 * elsewhere take no new flows. Without a `place`, hints do not count.
 */
function endpointFinder({ endpoints: slices = [], self }: World, place?: ClientPlace): EndpointsOf {
  const byService = Map.groupBy(slices, (each) => `${each.namespace}/${each.service}`)
  return ({ namespace, name, isLocal }, address, { name: portName, protocol }) => {
    const found = (byService.get(`${namespace}/${name}`) ?? []).flatMap((slice) => {
      const port = slice.ports.find((each) => each.name === portName && each.protocol === protocol)?.port
      return port === undefined ? [] : slice.endpoints.map((each) => ({ ...each, port }))
    })
    const usable = found
      .filter((each) => familyOf(each.address) === familyOf(address) && (!isLocal || each.node === self))
      .toSorted((a, b) => (a.address < b.address ? -1 : Number(a.address > b.address)) || a.port - b.port)
    const ready = usable.filter(({ isEnding }) => !isEnding)
    const ending = usable.filter(({ isEnding }) => isEnding)
    if (ready.length === 0) return { endpoints: distinct(ending), leaving: [] }
    const here = place === undefined || isLocal ? ready : endpointsForPlace(ready, place)
    const others = [...ready.filter((each) => !here.includes(each)), ...ending]
    return { endpoints: distinct(here), leaving: distinct(others) }
  }
}

/** An endpoint that moves from one slice to another is in both for a moment. */
function distinct(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return [
    ...new Map(endpoints.map(({ address, port }) => [`${address} ${port}`, { address, port }])).values(),
  ]
}

/** The programs look for an endpoint that a policy selects. If there are too many endpoints, those must not be missing. */
function selectedFirst(endpoints: readonly Endpoint[], prefixes: readonly Prefix[]): readonly Endpoint[] {
  const isSelected = ({ address }: Endpoint): boolean => prefixes.some((prefix) => contains(prefix, address))
  const { true: selected = [], false: others = [] } = Object.groupBy(
    endpoints,
    (each) => `${isSelected(each)}`,
  )
  return [...selected, ...others]
}
