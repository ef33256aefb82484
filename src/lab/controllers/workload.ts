import { createHash } from 'node:crypto'
import type { KubeObject } from '../../kube/client.ts'

/** The parts of nodes, pods and workloads that the lab's controllers act on. */
export interface NodeObject extends KubeObject {
  readonly spec?: { readonly taints?: readonly Taint[]; readonly unschedulable?: boolean }
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly lastHeartbeatTime?: string
    }[]
  }
}

export interface NodeLease extends KubeObject {
  readonly spec?: { readonly renewTime?: string }
}

export interface Taint {
  readonly key: string
  readonly value?: string
  readonly effect: string
}

interface Toleration {
  readonly key?: string
  readonly operator?: string
  readonly value?: string
  readonly effect?: string
}

export interface PodObject extends KubeObject {
  readonly metadata: KubeObject['metadata'] & {
    readonly ownerReferences?: readonly { readonly uid: string }[]
  }
  readonly spec: {
    readonly nodeName?: string
    readonly nodeSelector?: Readonly<Record<string, string>>
    readonly tolerations?: readonly Toleration[]
    readonly hostNetwork?: boolean
  }
  readonly status?: {
    readonly phase?: string
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason?: string
      readonly message?: string
      readonly lastTransitionTime?: string | null
    }[]
  }
}

export interface Workload extends KubeObject {
  readonly spec: {
    readonly replicas?: number
    readonly selector: { readonly matchLabels?: Readonly<Record<string, string>> }
    readonly template: {
      readonly metadata?: {
        readonly labels?: Readonly<Record<string, string>>
        readonly annotations?: Readonly<Record<string, string>>
      }
      readonly spec: PodObject['spec']
    }
  }
  readonly status?: object
}

function tolerates(tolerations: readonly Toleration[], taint: Taint): boolean {
  return tolerations.some(
    ({ key, operator = 'Equal', value = '', effect }) =>
      (effect === undefined || effect === '' || effect === taint.effect) &&
      (key === undefined || key === '' ? operator === 'Exists' : key === taint.key) &&
      (operator === 'Exists' || value === (taint.value ?? '')),
  )
}

/** Whether the pod may run on the node. The reasons against it are in the scheduler's words. */
export function refusal(pod: Pick<PodObject, 'spec'>, node: NodeObject): string | undefined {
  const { tolerations = [], nodeSelector = {} } = pod.spec
  if (Object.entries(nodeSelector).some(([key, value]) => node.metadata.labels?.[key] !== value))
    return "node(s) didn't match Pod's node affinity/selector"
  const taint = (node.spec?.taints ?? []).find(
    (each) => each.effect !== 'PreferNoSchedule' && !tolerates(tolerations, each),
  )
  if (taint !== undefined) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`
  if (
    node.spec?.unschedulable &&
    !tolerates(tolerations, { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' })
  )
    return 'node(s) were unschedulable'
  return undefined
}

export function isNodeReady(node: NodeObject): boolean {
  return node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false
}

export function isPodReady(pod: PodObject): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false
}

export function isOwnedBy(pod: PodObject, owner: KubeObject): boolean {
  return pod.metadata.ownerReferences?.some(({ uid }) => uid === owner.metadata.uid) ?? false
}

/** It changes with the template. Pods of an older template are replaced. */
export function templateHash(workload: Workload): string {
  return createHash('sha256').update(JSON.stringify(workload.spec.template)).digest('hex').slice(0, 10)
}

export const hashLabel = 'pod-template-hash'

export function podOf(workload: Workload, kind: string, nodeName: string | undefined): KubeObject {
  const { metadata, spec } = workload.spec.template
  const { name = '', namespace = 'default', uid = '' } = workload.metadata
  const suffix = Math.random().toString(36).slice(2, 7)
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${name}-${suffix}`,
      namespace,
      labels: { ...metadata?.labels, [hashLabel]: templateHash(workload) },
      ...(metadata?.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ownerReferences: [
        { apiVersion: 'apps/v1', kind, name, uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    spec: { ...spec, ...(nodeName === undefined ? {} : { nodeName }) },
  } as KubeObject
}
