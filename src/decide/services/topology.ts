import { zoneLabel } from '../gateways/gateways.ts'
import type { World, WorldEndpoint } from '../world.ts'

/** Where the clients of Services are: on this node. */
export interface ClientPlace {
  readonly node: string
  /** Undefined: the node has no label for it. */
  readonly zone: string | undefined
}

export function clientPlace({ nodes, self }: World): ClientPlace {
  return { node: self, zone: nodes.find(({ name }) => name === self)?.labels[zoneLabel] }
}

/**
 * The endpoints that are for clients here, by kube-proxy's rule. Kubernetes writes hints into EndpointSlices, by the Service's
 * `trafficDistribution` or by its annotation `service.kubernetes.io/topology-mode`. Hints count only if every endpoint has one and
 * one of them is for this place, so that no place is left without endpoints.
 */
export function endpointsForPlace<E extends WorldEndpoint>(
  endpoints: readonly E[],
  { node, zone }: ClientPlace,
): readonly E[] {
  return (
    hintedAt(endpoints, ({ forNodes }) => forNodes, node) ??
    hintedAt(endpoints, ({ forZones }) => forZones, zone) ??
    endpoints
  )
}

function hintedAt<E extends WorldEndpoint>(
  endpoints: readonly E[],
  hintsOf: (endpoint: E) => readonly string[] | undefined,
  place: string | undefined,
): readonly E[] | undefined {
  if (place === undefined || endpoints.some((each) => (hintsOf(each) ?? []).length === 0)) return undefined
  const here = endpoints.filter((each) => hintsOf(each)?.includes(place))
  return here.length === 0 ? undefined : here
}
