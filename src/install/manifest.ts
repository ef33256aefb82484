import { createHash } from 'node:crypto'
import { managedByLabel } from '../api/kinds.ts'
import { canonicalJson } from './settings/structured-value.ts'

/** What the objects of an install are called. */
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

/** For walkthroughs and scripts that select another gateway's pods by its labels. */
export const compatibleNames: Names = {
  agent: 'cilium',
  agentContainer: 'cilium-agent',
  agentLabels: { 'k8s-app': 'cilium' },
  operator: 'cilium-operator',
  operatorLabels: { name: 'cilium-operator' },
}

export const namespace = 'kube-system'
export const configMapName = 'sallyport-config'
/** Which operator works: its name is in the Lease. */
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
  /* The API server would fill in the version. It treats a fieldRef as one value, so that the next writer without it conflicts. */
  valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } },
})

/** Of a container that needs no right on its node. */
export const withoutRights = {
  runAsNonRoot: true,
  runAsUser: 65532,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
} as const

/** Which container kubectl exec and kubectl logs mean if nobody names one. */
export const defaultContainerAnnotation = (container: string): Readonly<Record<string, string>> => ({
  'kubectl.kubernetes.io/default-container': container,
})

/** Pods of another configuration are other pods: a change of it is rolled out as one of the image is. */
export function configurationAnnotation(
  configMap: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const text = canonicalJson(configMap)
  return { 'sallyport.dev/configuration': createHash('sha256').update(text).digest('hex').slice(0, 16) }
}

/** The chart's definitions have it. Helm replaces the label by which an install knows its objects, and leaves annotations. */
export const chartAnnotation = 'sallyport.dev/definition'
