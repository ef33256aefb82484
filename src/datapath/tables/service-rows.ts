import type { Endpoint, ServiceEntry, ServiceKey } from './service-tables.ts'

type Services = readonly (ServiceKey & ServiceEntry)[]

const nsPerMs = 1_000_000n

/* The rows of the tables that the agent writes for Services. */

export function* serviceRows(services: Services) {
  for (const { affinityMs, endpoints, ...key } of services)
    yield [key, { affinityNs: BigInt(affinityMs) * nsPerMs, count: endpoints.length }] as const
}

export function* endpointRows(services: Services) {
  for (const service of services)
    for (const [place, endpoint] of service.endpoints.entries()) yield [{ service, place }, endpoint] as const
}

export function* memberRows(services: Services) {
  for (const service of services) {
    for (const endpoint of service.leaving) yield member(service, endpoint, false)
    for (const endpoint of service.endpoints) yield member(service, endpoint, true)
  }
}

const member = (service: ServiceKey, endpoint: Endpoint, takesNew: boolean) =>
  [{ service, endpoint }, { takesNew }] as const
