import { cleanUpDaemonSet } from '../../install/agent-manifests.ts'
import { configMapData, parseConfiguration } from '../../install/configuration.ts'
import { compatibleNames, defaultNames, type Manifest, type Names } from '../../install/manifest.ts'
import { renderInstall } from '../../install/manifests.ts'
import { monitorConflict } from '../../install/monitor-manifests.ts'
import { type Assignment, assignmentsIn, parseAssignments } from '../../install/settings/assignments.ts'
import { settings } from '../../install/settings/settings.ts'
import { imageTagKey } from '../../install/settings/workload-settings.ts'
import type { KubeClient, KubeObject, ResourceName } from '../../kube/client.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { UserError } from '../user-error.ts'
import { readConfigMap } from './config-map.ts'
import { fixedChanges } from './fixed-settings.ts'
import { isOurs } from './helm-release.ts'
import { fitToServer } from './older-servers.ts'
import { withRights } from './rights.ts'

export function chosenNames(): Names {
  return process.env.SALLYPORT_COMPATIBLE_NAMES === 'cilium' ? compatibleNames : defaultNames
}

/** The objects of an install with these settings, and the DaemonSet that cleans up after it. Reports all mistakes at once. */
export async function planInstall(given: GivenSettings): Promise<{
  readonly data: Readonly<Record<string, string>>
  readonly manifests: readonly Manifest[]
  readonly cleanUp: Manifest
}> {
  const data = configMapData(await readSettings(given))
  refuseConflicts(data)
  return { data, manifests: renderInstall(data, chosenNames()), cleanUp: cleanUpDaemonSet(data) }
}

/**
 * The objects of an install of this version. It has the settings of the present install, except for those that are given now.
 * `remarks`: what becomes of settings of the present install that this version does not have, or whose default it has changed.
 */
export async function planUpgrade(
  client: KubeClient,
  given: GivenSettings & { readonly force?: boolean },
): Promise<{ readonly manifests: readonly Manifest[]; readonly remarks: readonly string[] }> {
  const known = new Set(settings.map(({ key }) => key))
  const before = Object.entries(await readConfigMap(client))
  const kept = Object.fromEntries(before.filter(([key]) => known.has(key) && key !== imageTagKey))
  const chosen = await readSettings(given, kept)
  const data = configMapData({ ...kept, ...chosen })
  const parsed = parseConfiguration(data)
  if (!parsed.ok) throw new UserError(parsed.issues.join('\n'), 2)
  refuseConflicts(data)
  const changes = given.force ? [] : fixedChanges(Object.fromEntries(before), data)
  if (changes.length > 0) throw new UserError(changes.join('\n'))
  return {
    manifests: renderInstall(data, chosenNames()),
    remarks: [
      ...before.flatMap(([key]) =>
        known.has(key) ? [] : [`setting ${key} does not exist in this version and is removed`],
      ),
      ...earlierDefaults(kept, chosen),
    ],
  }
}

/** The ConfigMap does not tell a value that was chosen from a default, so an upgrade keeps both. */
function earlierDefaults(
  kept: Readonly<Record<string, string>>,
  chosen: Readonly<Record<string, string>>,
): readonly string[] {
  return settings.flatMap(({ path, key, fallback, earlierFallback }) =>
    earlierFallback === undefined || kept[key] !== earlierFallback || chosen[key] !== undefined
      ? []
      : [
          `${path} stays ${earlierFallback}, which was the default of earlier versions. The default is now ${fallback}. To use it, run the upgrade with --set ${path}=${fallback}.`,
        ],
  )
}

function refuseConflicts(data: Readonly<Record<string, string>>): void {
  const conflict = monitorConflict(data)
  if (conflict !== undefined) throw new UserError(conflict, 2)
}

/** The settings that a user gives to a command by `-f`, `--set-json` and `--set`. Like in Helm, the later of these wins. */
export interface GivenSettings {
  readonly values?: string
  readonly set?: readonly string[]
  readonly setJson?: readonly string[]
}

export async function readSettings(
  { values, set = [], setJson = [] }: GivenSettings,
  before: Readonly<Record<string, string>> = {},
): Promise<Record<string, string>> {
  const fromFile = values === undefined ? [] : (await import('./values-file.ts')).readValues(values)
  const fromJson = setJson.map((each): Assignment => {
    const at = each.indexOf('=')
    return at < 0 ? [each, undefined] : [each.slice(0, at), each.slice(at + 1)]
  })
  const parsed = parseAssignments([...fromFile, ...fromJson, ...assignmentsIn(set)], before)
  if (!parsed.ok) throw new UserError(parsed.issues.join('\n'), 2)
  return parsed.value
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
  ServiceMonitor: 'servicemonitors',
}

/** Kinds of the Prometheus Operator. */
const settingOfKind: Readonly<Record<string, string>> = {
  ServiceMonitor: 'serviceMonitor.enabled',
  PrometheusRule: 'prometheusRule.enabled',
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

type Outcome = 'created' | 'configured' | 'unchanged' | 'left alone'

/**
 * Applies one object. A definition that another product created stays unchanged, because a change could break that product.
 * Any other object that another product created stops the install. With compatible names, it may be the other gateway itself.
 */
export async function applyManifest(client: KubeClient, manifest: Manifest): Promise<Outcome> {
  try {
    const present = await find(client, manifest)
    if (present !== undefined && !isOurs(present)) {
      if (isSharedDefinition(manifest)) return 'left alone'
      throw new UserError(
        `${describe(manifest)} already exists, and another product created it. Remove it, or label it app.kubernetes.io/managed-by=sallyport to hand it over to Sallyport`,
      )
    }
    const fitting = await fitToServer(client, manifest)
    const applied = await client
      .resource<KubeObject>(resourceOf(manifest))
      .apply(fitting as KubeObject, { fieldManager: 'sallyport', force: true })
    if (present === undefined) return 'created'
    return applied.metadata.resourceVersion === present.metadata.resourceVersion ? 'unchanged' : 'configured'
  } catch (error) {
    const setting = settingOfKind[manifest.kind]
    if (setting !== undefined && isNotFound(error))
      throw new UserError(
        `the cluster has no kind ${manifest.kind}: install the Prometheus Operator first, or set ${setting}=false`,
      )
    throw withRights(error)
  }
}

/** Sallyport works with a definition that another product created. */
export const isSharedDefinition = ({ kind }: Manifest): boolean => kind === 'CustomResourceDefinition'

/** The manifests whose objects already exist in the cluster and belong to another product. */
export async function findForeign(
  client: KubeClient,
  manifests: readonly Manifest[],
): Promise<ReadonlySet<Manifest>> {
  const foreign = new Set<Manifest>()
  for (const manifest of manifests) {
    const present = await find(client, manifest)
    if (present !== undefined && !isOurs(present)) foreign.add(manifest)
  }
  return foreign
}

async function find(client: KubeClient, manifest: Manifest): Promise<KubeObject | undefined> {
  const { name, namespace } = manifest.metadata
  try {
    return await client.resource<KubeObject>(resourceOf(manifest)).get(name, namespace)
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}

export function describe({ kind, apiVersion, metadata }: Manifest): string {
  const group = apiVersion.includes('/') ? `.${apiVersion.split('/')[0]}` : ''
  return `${kind.toLowerCase()}${group}/${metadata.name}`
}
