import type { ServiceChoice } from '../../../decide/explain/expected-service.ts'
import type { Endpoint } from '../../../decide/tables.ts'
import type { ServiceStory } from './explanation.ts'

const maxListed = 20

/** For a Service that Sallyport translates. */
export function serviceStory(
  { port: found, eligible }: ServiceChoice,
  endpoint: Endpoint | undefined,
): ServiceStory {
  const { service, kind, address, port, endpoints, leaving, affinityMs } = found
  const others = [...endpoints, ...leaving].filter(
    (each) => !eligible.some((one) => one.address === each.address && one.port === each.port),
  )
  return {
    ...{ service, kind, address, port, translatedBy: 'Sallyport', affinitySeconds: affinityMs / 1000 },
    ...{ eligible: eligible.slice(0, maxListed), eligibleCount: eligible.length },
    others: others.slice(0, maxListed),
    ...(endpoint === undefined ? {} : { endpoint }),
  }
}
