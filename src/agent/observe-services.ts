import type {
  ExternalAddress,
  NamedPort,
  Settings,
  WorldEndpoint,
  WorldEndpoints,
  WorldService,
} from '../decide/world.ts'
import { coreResource, type KubeEndpointSlice, type KubeService } from '../kube/cluster-objects.ts'
import { parseAddress } from '../net/address.ts'
import { parsePrefix } from '../net/prefix.ts'

export const serviceResource = coreResource('services', true)
export const endpointSliceResource = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  isNamespaced: true,
}

/**
 * Which Services the agent watches: all of them, those that may lead out of the cluster, or none. Kubernetes writes the
 * EndpointSlices of Services with a selector. Their endpoints are pods.
 */
type WatchedServices = 'all' | 'outside' | 'none'

export function watchedServices({
  isChained,
  replacesKubeProxy,
}: Pick<Settings, 'isChained' | 'replacesKubeProxy'>): WatchedServices {
  if (replacesKubeProxy) return 'all'
  return isChained ? 'outside' : 'none'
}

export const outsideEndpointSlices = {
  labelSelector: 'endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io',
}

/** A user leaves a Service with this label to another program. */
const otherProxyLabel = 'service.kubernetes.io/service-proxy-name'

/** The API server fills it in, too. */
const defaultAffinitySeconds = 10800

/** Undefined for a Service without a cluster IP. */
export function trimService({ metadata, spec = {}, status }: KubeService): WorldService | undefined {
  const { namespace = '', name, labels = {} } = metadata
  const {
    clusterIP = '',
    clusterIPs = [clusterIP],
    ports = [],
    sessionAffinity,
    sessionAffinityConfig,
  } = spec
  const addresses = clusterIPs.flatMap((text) => parseAddress(text) ?? [])
  if (addresses.length === 0 || otherProxyLabel in labels) return undefined
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds
  return {
    namespace,
    name,
    addresses,
    external: [...externalIps(spec), ...loadBalancerIps(status)],
    ports: ports.flatMap(trimServicePort),
    affinityMs: sessionAffinity === 'ClientIP' ? seconds * 1000 : 0,
    isLocal: spec.internalTrafficPolicy === 'Local',
    isLocalForClients: spec.externalTrafficPolicy === 'Local',
    sources: (spec.loadBalancerSourceRanges ?? []).flatMap((text) => parsePrefix(text.trim()) ?? []),
    ...(spec.healthCheckNodePort ? { healthCheckPort: spec.healthCheckNodePort } : {}),
  }
}

function externalIps({ externalIPs = [] }: NonNullable<KubeService['spec']>): readonly ExternalAddress[] {
  return externalIPs
    .flatMap((text) => parseAddress(text) ?? [])
    .map((address) => ({ address, kind: 'ExternalIPs' }))
}

/** A load balancer that has to see the packets gets them. */
function loadBalancerIps(status: KubeService['status']): readonly ExternalAddress[] {
  return (status?.loadBalancer?.ingress ?? [])
    .filter(({ ipMode }) => ipMode !== 'Proxy')
    .flatMap(({ ip = '' }) => parseAddress(ip) ?? [])
    .map((address) => ({ address, kind: 'LoadBalancer' }))
}

/** Returns the same list as long as its elements are the same objects, so that what was computed from it stays valid. */
export function steadyList<T>(): (now: readonly T[]) => readonly T[] {
  let last: readonly T[] = []
  return (now) => {
    const isSame = now.length === last.length && now.every((each, index) => each === last[index])
    if (!isSame) last = now
    return last
  }
}

/** Undefined also for a Service with a selector, whose endpoints are pods. */
export function trimOutsideService(service: KubeService): WorldService | undefined {
  return Object.keys(service.spec?.selector ?? {}).length > 0 ? undefined : trimService(service)
}

/** Undefined if it names no Service. */
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
    endpoints: endpoints.flatMap(trimEndpoint),
  }
}

type KubeEndpoint = NonNullable<KubeEndpointSlice['endpoints']>[number]

/**
 * Endpoints that take new connections, and those that end and still serve. An endpoint that says nothing of itself is ready.
 * Kubernetes says that all endpoints of a Service with `publishNotReadyAddresses` are ready.
 */
function trimEndpoint({
  addresses = [],
  conditions = {},
  nodeName,
  hints = {},
}: KubeEndpoint): readonly WorldEndpoint[] {
  const isReady = conditions.ready !== false
  const isServing = conditions.serving ?? isReady
  if (!isReady && !(isServing && conditions.terminating)) return []
  return addresses
    .flatMap((text) => parseAddress(text) ?? [])
    .map((address) => ({
      address,
      isEnding: !isReady,
      ...(nodeName === undefined ? {} : { node: nodeName }),
      ...(hints.forNodes === undefined ? {} : { forNodes: hints.forNodes.map(({ name }) => name) }),
      ...(hints.forZones === undefined ? {} : { forZones: hints.forZones.map(({ name }) => name) }),
    }))
}

function trimServicePort({ nodePort, ...port }: Partial<NamedPort> & { readonly nodePort?: number }) {
  return trimPort(port).map((each) => ({ ...each, ...(nodePort ? { nodePort } : {}) }))
}

function trimPort({ name, port, protocol = 'TCP' }: Partial<NamedPort>): readonly NamedPort[] {
  return port === undefined || port === null ? [] : [{ name: name ?? '', port, protocol }]
}
