import type { ServicePort } from '../../decide/tables.ts'
import type { ServiceView } from './local-api.ts'
import { protocolName } from './views.ts'

/** The ports of Services that this node translates, in the order of their addresses. Rows for other ports are left out. */
export function describeServices(services: readonly ServicePort[]): readonly ServiceView[] {
  return services
    .filter(({ protocol }) => protocol !== 0)
    .toSorted(
      (a, b) =>
        a.service.localeCompare(b.service) ||
        a.address.localeCompare(b.address) ||
        a.port - b.port ||
        a.protocol - b.protocol,
    )
    .map(({ service, kind, address, port, protocol, affinityMs, endpoints, leaving, clients }, index) => ({
      id: index + 1,
      service,
      kind,
      address,
      port,
      protocol: protocolName(protocol),
      affinitySeconds: affinityMs / 1000,
      ...(clients && {
        clients: clients.endpointsOf === 'thisNode' ? ('Local' as const) : ('Cluster' as const),
      }),
      endpoints: [
        ...endpoints.map((each) => ({ ...each, state: 'active' as const })),
        ...leaving.map((each) => ({ ...each, state: 'terminating' as const })),
      ],
    }))
}
