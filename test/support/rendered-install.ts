import { configMapData } from '../../src/install/configuration.ts'
import type { Manifest, Names } from '../../src/install/manifest.ts'
import { defaultNames } from '../../src/install/manifest.ts'
import { renderInstall } from '../../src/install/manifests.ts'

/* What an install applies, in the shapes that tests of manifests ask for. */

export interface Template {
  readonly metadata: {
    readonly labels: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec: {
    readonly tolerations: readonly {
      readonly key?: string
      readonly operator: string
      readonly effect?: string
    }[]
    readonly affinity?: {
      readonly podAntiAffinity: {
        readonly preferredDuringSchedulingIgnoredDuringExecution: readonly {
          readonly podAffinityTerm: {
            readonly topologyKey: string
            readonly labelSelector: { readonly matchLabels: Readonly<Record<string, string>> }
          }
        }[]
      }
    }
    readonly volumes: readonly {
      readonly name: string
      readonly hostPath?: { readonly path: string }
      readonly emptyDir?: object
    }[]
    readonly initContainers?: readonly Container[]
    readonly containers: readonly Container[]
  }
}

interface Probe {
  readonly periodSeconds: number
  readonly failureThreshold: number
  readonly httpGet?: object
  readonly exec?: { readonly command: readonly string[] }
}

interface Container {
  readonly name: string
  readonly image: string
  readonly command?: readonly string[]
  readonly ports?: readonly object[]
  readonly resources?: { readonly requests?: { readonly cpu?: string; readonly memory?: string } }
  readonly terminationMessagePolicy?: string
  readonly startupProbe?: Probe
  readonly readinessProbe?: Probe
  readonly livenessProbe?: Probe
  readonly securityContext: {
    readonly privileged?: boolean
    readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] }
    readonly appArmorProfile?: object
    readonly seLinuxOptions?: { readonly type: string }
  }
  readonly volumeMounts: readonly {
    readonly name: string
    readonly mountPath: string
    readonly mountPropagation?: string
  }[]
}

export interface Workload extends Manifest {
  readonly spec: {
    readonly replicas?: number
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> }
    readonly template: Template
  }
}

export const render = (names: Names = defaultNames, set: Readonly<Record<string, string>> = {}): Manifest[] =>
  renderInstall(configMapData(set), names)
export const find = (manifests: readonly Manifest[], kind: string): Workload =>
  manifests.find((manifest) => manifest.kind === kind) as Workload
