import { isDeepStrictEqual } from 'node:util'
import { type Address, familyOf } from '../../net/address.ts'
import { contains, familyOfPrefix, type Prefix } from '../../net/prefix.ts'
import type { Context } from '../context.ts'
import type { Endpoint, ServicePort, Tables } from '../tables.ts'
import type { NamedPort, World, WorldService } from '../world.ts'
import { type EndpointsOf, endpointFinder } from './endpoints.ts'
import { type IsInside, insideFinder, insidePrefixes } from './inside.ts'
import { clientPlace } from './topology.ts'

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
  if (settings.replacesKubeProxy) return resolveAll(context.world, cluster)
  return settings.isChained ? resolveOutside(context, cluster) : []
}

/** There may be thousands, and most reconciliations are about something else. */
const known = new WeakMap<
  readonly WorldService[],
  {
    readonly endpoints: World['endpoints'] | undefined
    /** By which an endpoint is inside the cluster, on this node, and for clients here. */
    readonly here: readonly unknown[]
    readonly resolved: Tables['services']
  }
>()

function resolveAll(world: World, cluster: Tables['cluster']): Tables['services'] {
  const { services = [], endpoints } = world
  const place = clientPlace(world)
  const { internalIPs = [], podCIDRs = [] } = world.nodes.find(({ name }) => name === world.self) ?? {}
  const inside = insidePrefixes(cluster, podCIDRs)
  const here = [place, internalIPs, podCIDRs, inside]
  const before = known.get(services)
  if (before !== undefined && before.endpoints === endpoints && isDeepStrictEqual(before.here, here))
    return before.resolved
  const endpointsOf = endpointFinder(world, place)
  const own = services.flatMap((service) => portsOf(service, endpointsOf))
  /* Two Services may claim the same external address. A cluster IP comes first, then the older name. */
  const isInside = insideFinder(inside)
  const external = services
    .toSorted((a, b) => nameOf(a).localeCompare(nameOf(b)))
    .flatMap((service) => externalPortsOf(service, endpointsOf, isInside))
  const ports = [...own, ...external].filter(({ protocol }) => protocol !== noPort.protocol)
  const distinctPorts = new Map(
    ports.toReversed().map((each) => [`${each.address} ${each.port} ${each.protocol}`, each]),
  )
  const resolved = [...[...distinctPorts.values()].toReversed(), ...services.flatMap(otherPortsOf)]
  known.set(services, { endpoints, here, resolved })
  return resolved
}

const nameOf = ({ namespace, name }: WorldService): string => `${namespace}/${name}`

/** Where clients outside reach a port. A pod that calls it gets an endpoint of any node, whatever the Service's traffic policies say. */
function externalPortsOf(
  service: WorldService,
  endpointsOf: EndpointsOf,
  isInside: IsInside,
): readonly ServicePort[] {
  const families = [...new Set(service.addresses.map(familyOf))]
  const nodePorts = service.ports.flatMap(({ nodePort, ...port }) =>
    nodePort === undefined ? [] : [{ ...port, outerPort: nodePort }],
  )
  const ports = service.ports.map((port) => ({ ...port, outerPort: port.port }))
  return [
    ...families.flatMap((family) =>
      clientPorts(
        service,
        { address: anyAddress[family], kind: 'NodePort' },
        nodePorts,
        endpointsOf,
        isInside,
      ),
    ),
    ...service.external.flatMap((external) => clientPorts(service, external, ports, endpointsOf, isInside)),
  ]
}

/** The address of rows for node ports. It stands for all addresses of nodes. */
const anyAddress = { 4: '0.0.0.0' as Address, 6: '::' as Address }

type OuterPort = WorldService['ports'][number] & { readonly outerPort: number }

function clientPorts(
  service: WorldService,
  { address, kind }: Pick<ServicePort, 'address' | 'kind'>,
  ports: readonly OuterPort[],
  endpointsOf: EndpointsOf,
  isInside: IsInside,
): readonly ServicePort[] {
  const { isLocalForClients, sources } = service
  return ports.map(({ outerPort, ...port }) => {
    const { endpoints, leaving } = endpointsOf({ ...service, isLocal: false }, address, port)
    const local = endpointsOf({ ...service, isLocal: true }, address, port).endpoints.filter(isInside)
    return {
      ...entryOf(service, address),
      kind,
      ...numbersOf({ ...port, port: outerPort }),
      endpoints,
      leaving,
      clients: { endpointsOf: isLocalForClients ? 'thisNode' : 'anyNode', local },
      ...(kind === 'LoadBalancer' && sources.length > 0
        ? { sources: sources.filter((each) => familyOfPrefix(each) === familyOf(address)) }
        : {}),
    }
  })
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

/** With externalTrafficPolicy Local, a load balancer asks each node whether it has an endpoint. */
export function resolveHealthChecks(world: World): Tables['healthChecks'] {
  const { services = [], settings } = world
  const asked = services.filter((each) => each.isLocalForClients && each.healthCheckPort !== undefined)
  if (!settings.replacesKubeProxy || asked.length === 0) return new Map()
  const endpointsOf = endpointFinder(world)
  return new Map(
    asked.map((service) => {
      const { namespace, name, healthCheckPort = 0, addresses, ports } = service
      const local = addresses.flatMap((address) =>
        ports.flatMap((port) => endpointsOf({ ...service, isLocal: true }, address, port).endpoints),
      )
      const localEndpoints = new Set(local.map(({ address }) => address)).size
      return [healthCheckPort, { namespace, name, localEndpoints }] as const
    }),
  )
}

/**
 * kube-proxy would translate these in the stack, where no policy applies. Hints do not exempt an endpoint from its policy, because a
 * kube-proxy that ignores hints could still choose it. Endpoints inside the cluster are not listed, because no policy applies to them.
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
      ...numbersOf(port),
      ...endpointsOf(service, address, port),
    })),
  )
}

const numbersOf = ({ port, protocol }: Pick<NamedPort, 'port' | 'protocol'>) =>
  protocol in translatable ? { port, protocol: translatable[protocol as 'TCP'] } : noPort

const entryOf = (service: WorldService, address: Address) => ({
  service: nameOf(service),
  kind: 'ClusterIP' as const,
  address,
  affinityMs: service.affinityMs,
})

/** The programs look for an endpoint that a policy selects. If there are too many endpoints, those must not be missing. */
function selectedFirst(endpoints: readonly Endpoint[], prefixes: readonly Prefix[]): readonly Endpoint[] {
  const isSelected = ({ address }: Endpoint): boolean => prefixes.some((prefix) => contains(prefix, address))
  const { true: selected = [], false: others = [] } = Object.groupBy(
    endpoints,
    (each) => `${isSelected(each)}`,
  )
  return [...selected, ...others]
}
