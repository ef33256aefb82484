import type { KubeObject } from '../../kube/client.ts'
import type { ResourceFieldRef, Volume, VolumeMount } from './volumes/volume-spec.ts'

/** The parts of a pod that this kubelet acts on. */
export interface Pod extends KubeObject {
  readonly metadata: KubeObject['metadata'] & { readonly deletionGracePeriodSeconds?: number }
  readonly spec: {
    readonly nodeName?: string
    readonly hostNetwork?: boolean
    readonly restartPolicy?: 'Always' | 'OnFailure' | 'Never'
    readonly serviceAccountName?: string
    readonly terminationGracePeriodSeconds?: number
    readonly securityContext?: SecurityContext & { readonly fsGroup?: number }
    /** One after the other, each to its end, before the others begin. */
    readonly initContainers?: readonly Container[]
    readonly containers: readonly Container[]
    readonly volumes?: readonly Volume[]
  }
  readonly status?: PodStatus
}

export interface Container {
  readonly name: string
  readonly image: string
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly env?: readonly EnvironmentVariable[]
  readonly envFrom?: readonly {
    readonly prefix?: string
    readonly configMapRef?: KeyReference
    readonly secretRef?: KeyReference
  }[]
  readonly resources?: {
    readonly requests?: Readonly<Record<string, string>>
    readonly limits?: Readonly<Record<string, string>>
  }
  readonly volumeMounts?: readonly VolumeMount[]
  readonly readinessProbe?: Probe
  readonly livenessProbe?: Probe
  /** Until it has passed once, the others are not asked. */
  readonly startupProbe?: Probe
  readonly ports?: readonly ContainerPort[]
  readonly imagePullPolicy?: string
  readonly terminationMessagePath?: string
  readonly terminationMessagePolicy?: string
  readonly securityContext?: SecurityContext
}

export interface EnvironmentVariable {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string }
    readonly resourceFieldRef?: ResourceFieldRef
    readonly configMapKeyRef?: KeyReference & { readonly key: string }
    readonly secretKeyRef?: KeyReference & { readonly key: string }
  }
}

interface ContainerPort {
  readonly name?: string
  readonly containerPort: number
  readonly hostPort?: number
  readonly hostIP?: string
  readonly protocol?: string
}

export interface KeyReference {
  readonly name: string
  readonly optional?: boolean
}

/** Of a pod for all its containers, or of one. AppArmor, SELinux and seccomp are not the lab's. */
export interface SecurityContext {
  readonly privileged?: boolean
  readonly runAsUser?: number
  readonly runAsGroup?: number
  readonly runAsNonRoot?: boolean
  readonly readOnlyRootFilesystem?: boolean
  readonly allowPrivilegeEscalation?: boolean
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] }
}

export interface Probe {
  readonly httpGet?: {
    readonly path?: string
    readonly port: number | string
    readonly host?: string
    readonly scheme?: string
  }
  readonly tcpSocket?: { readonly port: number | string; readonly host?: string }
  readonly exec?: { readonly command: readonly string[] }
  readonly periodSeconds?: number
  readonly timeoutSeconds?: number
  readonly failureThreshold?: number
  readonly successThreshold?: number
  readonly initialDelaySeconds?: number
  readonly terminationGracePeriodSeconds?: number
}

export interface PodStatus {
  readonly phase: string
  readonly podIP?: string
  readonly podIPs?: readonly { readonly ip: string }[]
  readonly hostIP?: string
  readonly hostIPs?: readonly { readonly ip: string }[]
  readonly startTime?: string
  readonly conditions?: readonly object[]
  readonly initContainerStatuses?: readonly ContainerStatus[]
  readonly containerStatuses?: readonly ContainerStatus[]
}

export interface ContainerStatus {
  readonly name: string
  readonly image: string
  readonly imageID: string
  readonly ready: boolean
  readonly started: boolean
  readonly restartCount: number
  readonly containerID?: string
  readonly state: object
  readonly lastState: object
}

/** In the order in which they start. */
export function containersOf({ spec }: Pod): readonly Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers]
}
