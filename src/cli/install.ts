import { readFileSync } from 'node:fs'
import { configMapData, parseSets } from '../api/configuration.ts'
import { managedByLabel } from '../api/crd.ts'
import { compatibleNames, defaultNames, type Manifest, type Names, renderInstall } from '../api/manifests.ts'
import type { KubeClient, KubeObject, ResourceName } from '../kube/client.ts'
import { isNotFound, KubeError } from '../kube/kube-error.ts'
import { Complaint } from './complaint.ts'

export function chosenNames(): Names {
  return process.env.SALLYPORT_COMPATIBLE_NAMES === 'cilium' ? compatibleNames : defaultNames
}

/** The objects of an install with these `--set` words and values file. Every mistake is named at once. */
export async function planInstall(
  sets: readonly string[],
  valuesFile: string | undefined,
): Promise<Manifest[]> {
  const fromFile =
    valuesFile === undefined ? [] : flatten((await import('yaml')).parse(readFileSync(valuesFile, 'utf8')))
  const parsed = parseSets([...fromFile, ...sets])
  if (!parsed.ok) throw new Complaint(parsed.issues.join('\n'), 2)
  return renderInstall(configMapData(parsed.value), chosenNames())
}

/** `a: {b: c}` of a values file is `a.b=c`. */
function flatten(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) return [`${path}={${value.join(',')}}`]
  if (typeof value !== 'object' || value === null) return [`${path}=${String(value)}`]
  return Object.entries(value).flatMap(([key, below]) => flatten(below, path === '' ? key : `${path}.${key}`))
}

const clusterKinds = ['CustomResourceDefinition', 'ClusterRole', 'ClusterRoleBinding']
const plurals: Readonly<Record<string, string>> = {
  CustomResourceDefinition: 'customresourcedefinitions',
  ServiceAccount: 'serviceaccounts',
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  Role: 'roles',
  RoleBinding: 'rolebindings',
  ConfigMap: 'configmaps',
  Deployment: 'deployments',
  PodDisruptionBudget: 'poddisruptionbudgets',
  DaemonSet: 'daemonsets',
}

export function resourceOf({ apiVersion, kind }: Manifest): ResourceName {
  const [first = '', second] = apiVersion.split('/')
  const [group, version] = second === undefined ? ['', first] : [first, second]
  return {
    group,
    version,
    plural: plurals[kind] ?? `${kind.toLowerCase()}s`,
    isNamespaced: !clusterKinds.includes(kind),
  }
}

export type Outcome = 'created' | 'configured' | 'unchanged' | 'left alone'

/**
 * Applies one object. A definition that another product brought is used as it is: changing it could break its owner.
 * Anything else of the same name that is not ours ends the install: with compatible names, it may be the other gateway itself.
 */
export async function applyManifest(client: KubeClient, manifest: Manifest): Promise<Outcome> {
  const resource = client.resource<KubeObject>(resourceOf(manifest))
  const { name, namespace } = manifest.metadata
  try {
    const present = await resource.get(name, namespace).catch((error: unknown) => {
      if (isNotFound(error)) return undefined
      throw error
    })
    if (present !== undefined && !isOurs(present)) {
      if (manifest.kind === 'CustomResourceDefinition') return 'left alone'
      throw new Complaint(
        `${describe(manifest)} is there and not ours: remove it first, or label it app.kubernetes.io/managed-by=sallyport to hand it over`,
      )
    }
    const applied = await resource.apply(manifest as KubeObject, { fieldManager: 'sallyport', force: true })
    if (present === undefined) return 'created'
    return applied.metadata.resourceVersion === present.metadata.resourceVersion ? 'unchanged' : 'configured'
  } catch (error) {
    throw withRights(error)
  }
}

function isOurs(object: KubeObject): boolean {
  return Object.entries(managedByLabel).every(([key, value]) => object.metadata.labels?.[key] === value)
}

function withRights(error: unknown): unknown {
  if (!(error instanceof KubeError) || error.code !== 403) return error
  return new Complaint(`${error.message}; this needs the rights of a cluster administrator`)
}

export function describe({ kind, apiVersion, metadata }: Manifest): string {
  const group = apiVersion.includes('/') ? `.${apiVersion.split('/')[0]}` : ''
  return `${kind.toLowerCase()}${group}/${metadata.name}`
}

/** What an install under any of its names may have made, last applied first. */
export function planUninstall(): Manifest[] {
  const manifests = [defaultNames, compatibleNames].flatMap((names) =>
    renderInstall(configMapData({}), names),
  )
  return [...new Map(manifests.map((manifest) => [describe(manifest), manifest])).values()].reverse()
}

export type Removal = 'deleted' | 'kept' | 'left alone' | 'not there'

/** Deletes what is ours. Definitions, and with them everybody's policies, are kept unless asked for. */
export async function removeManifest(
  client: KubeClient,
  manifest: Manifest,
  isPurge: boolean,
): Promise<Removal> {
  const { name, namespace } = manifest.metadata
  const resource = client.resource<KubeObject>(resourceOf(manifest))
  try {
    const present = await resource.get(name, namespace)
    if (!isOurs(present)) return 'left alone'
    if (manifest.kind === 'CustomResourceDefinition' && !isPurge) return 'kept'
    await resource.delete(name, namespace === undefined ? {} : { namespace })
    return 'deleted'
  } catch (error) {
    if (isNotFound(error)) return 'not there'
    throw withRights(error)
  }
}
