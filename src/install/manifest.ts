import { createHash } from 'node:crypto'
import { managedByLabel } from '../api/kinds.ts'
import { canonicalJson } from './settings/structured-value.ts'

/** The names and labels of the objects of an install. */
export interface Names {
  readonly agent: string
  readonly agentContainer: string
  readonly agentLabels: Readonly<Record<string, string>>
  readonly operator: string
  readonly operatorLabels: Readonly<Record<string, string>>
}

export const defaultNames: Names = {
  agent: 'sallyport',
  agentContainer: 'sallyport-agent',
  agentLabels: { 'k8s-app': 'sallyport' },
  operator: 'sallyport-operator',
  operatorLabels: { name: 'sallyport-operator' },
}

/** The names and labels of Cilium, for walkthroughs and scripts that select its pods. */
export const compatibleNames: Names = {
  agent: 'cilium',
  agentContainer: 'cilium-agent',
  agentLabels: { 'k8s-app': 'cilium' },
  operator: 'cilium-operator',
  operatorLabels: { name: 'cilium-operator' },
}

export const namespace = 'kube-system'
export const configMapName = 'sallyport-config'
/** The Lease that names the active operator. */
export const leaderLeaseName = 'sallyport-operator'

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
  }
  readonly [field: string]: unknown
}

export function labelled(
  apiVersion: string,
  kind: string,
  name: string,
  fields: object,
  inNamespace?: string,
): Manifest {
  const metadata = {
    name,
    ...(inNamespace === undefined ? {} : { namespace: inNamespace }),
    labels: managedByLabel,
  }
  return { apiVersion, kind, metadata, ...fields }
}

export const configVolume = { name: 'config', configMap: { name: configMapName } }
export const configMount = { name: 'config', mountPath: '/etc/sallyport/config', readOnly: true }
export const field = (name: string, fieldPath: string): object => ({
  name,
  /* Without apiVersion, the API server would fill it in, and the next writer without it would get a conflict. */
  valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } },
})

/** The security context of a container without any rights on its node. */
export const withoutRights = {
  runAsNonRoot: true,
  runAsUser: 65532,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
} as const

/** The default container of kubectl exec and kubectl logs. */
export const defaultContainerAnnotation = (container: string): Readonly<Record<string, string>> => ({
  'kubectl.kubernetes.io/default-container': container,
})

/** An annotation of pods with a hash of all settings, so that a change of a setting replaces the pods. */
export function configurationAnnotation(
  configMap: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const text = canonicalJson(configMap)
  return { 'sallyport.dev/configuration': createHash('sha256').update(text).digest('hex').slice(0, 16) }
}

/** An annotation of the chart's definitions. Helm replaces the label by which `install` recognises its objects, but keeps annotations. */
export const chartAnnotation = 'sallyport.dev/definition'
