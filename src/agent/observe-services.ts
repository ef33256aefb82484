import type { NamedPort, WorldEndpoints, WorldService } from '../decide/world.ts'
import { coreResource, type KubeEndpointSlice, type KubeService } from '../kube/cluster-objects.ts'
import { parseAddress } from '../net/address.ts'

export const serviceResource = coreResource('services', true)
export const endpointSliceResource = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  isNamespaced: true,
}

/** Kubernetes writes the EndpointSlices of Services with a selector. Their endpoints are pods, so the agent does not list them. */
export const outsideEndpointSlices = {
  labelSelector: 'endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io',
}

/** Undefined for a Service with a selector, whose endpoints are pods, and for one without a cluster IP. */
export function trimService({ metadata, spec = {} }: KubeService): WorldService | undefined {
  const { namespace = '', name } = metadata
  const { selector = {}, clusterIP = '', clusterIPs = [clusterIP], ports = [], sessionAffinity } = spec
  const addresses = clusterIPs.flatMap((text) => parseAddress(text) ?? [])
  if (addresses.length === 0 || Object.keys(selector).length > 0) return undefined
  return {
    namespace,
    name,
    addresses,
    ports: ports.flatMap(trimPort),
    byClient: sessionAffinity === 'ClientIP',
  }
}

/** Undefined if it names no Service. An endpoint that says nothing of itself is ready. */
export function trimEndpoints({
  metadata,
  endpoints = [],
  ports = [],
}: KubeEndpointSlice): WorldEndpoints | undefined {
  const service = metadata.labels?.['kubernetes.io/service-name']
  if (service === undefined) return undefined
  return {
    namespace: metadata.namespace ?? '',
    service,
    ports: ports.flatMap(trimPort),
    addresses: endpoints
      .filter(({ conditions }) => conditions?.ready !== false)
      .flatMap(({ addresses = [] }) => addresses.flatMap((text) => parseAddress(text) ?? [])),
  }
}

function trimPort({ name = '', port, protocol = 'TCP' }: Partial<NamedPort>): readonly NamedPort[] {
  return port === undefined ? [] : [{ name, port, protocol }]
}
