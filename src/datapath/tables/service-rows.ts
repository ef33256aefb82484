import type { Endpoint, ServiceEntry, ServiceKey } from './service-tables.ts'

type Services = readonly (ServiceKey & ServiceEntry)[]

const nsPerMs = 1_000_000n

/** LOCAL_PLACES of bpf/types.h. */
const localPlaces = 1 << 24

/* The rows of the tables that the agent writes for Services. */

export function* serviceRows(services: Services) {
  for (const { affinityMs, endpoints, clients, sources, ...key } of services)
    yield [
      key,
      {
        affinityNs: BigInt(affinityMs) * nsPerMs,
        count: endpoints.length,
        localCount: clients?.local.length ?? 0,
        clients: clients === undefined ? 'CLIENTS_NONE' : access[clients.endpointsOf],
        hasSources: sources !== undefined,
      },
    ] as const
}

const access = { anyNode: 'CLIENTS_ANY_NODE', thisNode: 'CLIENTS_THIS_NODE' } as const

export function* endpointRows(services: Services) {
  for (const service of services) {
    for (const [place, endpoint] of service.endpoints.entries()) yield [{ service, place }, endpoint] as const
    for (const [index, endpoint] of (service.clients?.local ?? []).entries())
      yield [{ service, place: localPlaces + index }, endpoint] as const
  }
}

/** With `externalTrafficPolicy: Local`, endpoints that end may be all that this node has. */
export function* memberRows(services: Services) {
  for (const service of services) {
    for (const endpoint of service.leaving) yield member(service, endpoint, false)
    for (const endpoint of service.clients?.local ?? []) yield member(service, endpoint, true)
    for (const endpoint of service.endpoints) yield member(service, endpoint, true)
  }
}

const member = (service: ServiceKey, endpoint: Endpoint, takesNew: boolean) =>
  [{ service, endpoint }, { takesNew }] as const

export function* sourceRows(services: Services) {
  for (const service of services)
    for (const client of service.sources ?? []) yield [{ service, client }, 1] as const
}
