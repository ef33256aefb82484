import type { LabelSelector } from '../api/label-selector.ts'
import { type Address, parseAddress } from '../net/address.ts'
import { type Prefix, parsePrefix } from '../net/prefix.ts'
import type { KubeObject, ResourceName } from './client.ts'

/** The parts of Kubernetes' own objects that more than one process reads. */
export interface KubeNode extends KubeObject {
  readonly spec?: {
    readonly podCIDR?: string
    readonly podCIDRs?: readonly string[]
    readonly unschedulable?: boolean
  }
  readonly status?: {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[]
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
    readonly nodeInfo?: { readonly bootID?: string }
  }
}

export interface KubePod extends KubeObject {
  readonly spec: {
    readonly nodeName?: string
    readonly hostNetwork?: boolean
    readonly serviceAccountName?: string
  }
  readonly status?: { readonly phase?: string; readonly podIPs?: readonly { readonly ip: string }[] }
}

export interface KubeNetworkPolicy extends KubeObject {
  readonly spec?: {
    readonly podSelector?: LabelSelector
    readonly policyTypes?: readonly string[]
    readonly egress?: readonly {
      readonly to?: readonly {
        readonly ipBlock?: { readonly cidr?: string; readonly except?: readonly string[] }
        readonly podSelector?: unknown
        readonly namespaceSelector?: unknown
      }[]
      readonly ports?: readonly {
        readonly protocol?: string
        readonly port?: number | string
        readonly endPort?: number
      }[]
    }[]
  }
}

export interface KubeService extends KubeObject {
  readonly spec?: {
    readonly type?: string
    readonly selector?: Readonly<Record<string, string>>
    readonly clusterIP?: string
    readonly clusterIPs?: readonly string[]
    readonly ports?: readonly (KubePort & { readonly nodePort?: number })[]
    readonly sessionAffinity?: string
    readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number } }
    readonly internalTrafficPolicy?: string
    readonly externalTrafficPolicy?: string
    readonly healthCheckNodePort?: number
    readonly externalIPs?: readonly string[]
    readonly loadBalancerSourceRanges?: readonly string[]
  }
  readonly status?: {
    readonly loadBalancer?: {
      readonly ingress?: readonly { readonly ip?: string; readonly ipMode?: string }[]
    }
  }
}

export interface KubeEndpointSlice extends KubeObject {
  readonly endpoints?: readonly {
    readonly addresses?: readonly string[]
    readonly nodeName?: string
    readonly hints?: {
      readonly forNodes?: readonly { readonly name: string }[]
      readonly forZones?: readonly { readonly name: string }[]
    }
    readonly conditions?: {
      readonly ready?: boolean
      readonly serving?: boolean
      readonly terminating?: boolean
    }
  }[]
  readonly ports?: readonly KubePort[]
}

interface KubePort {
  readonly name?: string
  readonly port?: number
  readonly protocol?: string
}

export function coreResource(plural: string, isNamespaced: boolean): ResourceName {
  return { group: '', version: 'v1', plural, isNamespaced }
}

export function clusterResource({
  group,
  version,
  plural,
}: Omit<ResourceName, 'isNamespaced'>): ResourceName {
  return { group, version, plural, isNamespaced: false }
}

export interface TrimmedNode {
  readonly name: string
  readonly uid: string
  readonly labels: Readonly<Record<string, string>>
  readonly internalIPs: readonly Address[]
  readonly podCIDRs: readonly Prefix[]
  readonly isCordoned: boolean
  readonly isReady?: boolean
  readonly bootId?: string
}

export function trimNode({ metadata: { name, uid = '', labels = {} }, spec, status }: KubeNode): TrimmedNode {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')
  const bootId = status?.nodeInfo?.bootID
  const podCIDRs = spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR])
  return {
    name,
    uid,
    labels,
    internalIPs: (status?.addresses ?? [])
      .filter(({ type }) => type === 'InternalIP')
      .flatMap(({ address }) => parseAddress(address) ?? []),
    podCIDRs: podCIDRs.flatMap((text) => parsePrefix(text) ?? []),
    isCordoned: spec?.unschedulable ?? false,
    ...(ready === undefined ? {} : { isReady: ready.status === 'True' }),
    ...(bootId === undefined ? {} : { bootId }),
  }
}

/** Removes metadata.managedFields, which is most of an object's bytes and which no process reads. */
export function dropManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields: _, ...metadata } = object.metadata as T['metadata'] & { managedFields?: unknown }
  return { ...object, metadata }
}
