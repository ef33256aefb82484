import { type Address, familyOf } from '../net/address.ts'
import { contains, type Prefix } from '../net/prefix.ts'
import type { Context } from './context.ts'
import type { OutsideService, Tables } from './tables.ts'
import type { WorldEndpoints, WorldService } from './world.ts'

/** bpf/types.h has room for as many: MAX_ENDPOINTS. */
export const maxEndpoints = 32

/** IPPROTO_*, of what can be translated. */
const translatable = { TCP: 6, UDP: 17 } as const

/** By itself, an SCTP Service would leave by the stack. Its entry stands for all packets without ports. */
const untranslatable = { port: 0, protocol: 0 } as const

/**
 * The ports of Services with an endpoint outside the cluster, in chained mode. kube-proxy would translate them in the stack,
 * where no policy applies. Endpoints inside the cluster are not listed, because no policy applies to them.
 */
export function resolveServices(
  { world, policies }: Context,
  cluster: Tables['cluster'],
): Tables['services'] {
  const { services = [], endpoints = [] } = world
  if (services.length === 0) return []
  const inside = [...cluster.keys()]
  const selected = policies.flatMap(({ destinations }) => destinations)
  const byService = Map.groupBy(endpoints, (each) => `${each.namespace}/${each.service}`)
  return services
    .flatMap((service) =>
      entriesOf(service, byService.get(`${service.namespace}/${service.name}`) ?? [], (address) =>
        inside.some((prefix) => contains(prefix, address)),
      ),
    )
    .map((entry) => ({
      ...entry,
      endpoints: selectedFirst(entry.endpoints, selected).slice(0, maxEndpoints),
    }))
}

function entriesOf(
  { addresses, ports, byClient }: WorldService,
  slices: readonly WorldEndpoints[],
  isInside: (address: Address) => boolean,
): readonly OutsideService[] {
  return addresses.flatMap((address) =>
    ports.flatMap(({ name, port, protocol }) => {
      const endpoints = slices
        .flatMap((slice) => {
          const target = slice.ports.find((each) => each.name === name && each.protocol === protocol)
          return target === undefined
            ? []
            : slice.addresses.map((each) => ({ address: each, port: target.port }))
        })
        .filter((each) => familyOf(each.address) === familyOf(address) && !isInside(each.address))
      if (endpoints.length === 0) return []
      const key =
        protocol in translatable ? { port, protocol: translatable[protocol as 'TCP'] } : untranslatable
      return [{ address, ...key, byClient, endpoints }]
    }),
  )
}

/** The programs look for an endpoint that a policy selects. If there are too many endpoints, those must not be missing. */
function selectedFirst(
  endpoints: OutsideService['endpoints'],
  prefixes: readonly Prefix[],
): OutsideService['endpoints'] {
  const isSelected = ({ address }: { readonly address: Address }): boolean =>
    prefixes.some((prefix) => contains(prefix, address))
  const sorted = endpoints.toSorted(
    (a, b) => (a.address < b.address ? -1 : Number(a.address > b.address)) || a.port - b.port,
  )
  const { true: selected = [], false: others = [] } = Object.groupBy(sorted, (each) => `${isSelected(each)}`)
  return [...selected, ...others]
}
