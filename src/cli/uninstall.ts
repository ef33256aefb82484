import { cleanUpDaemonSet } from '../api/agent-manifests.ts'
import { configMapData } from '../api/configuration.ts'
import { compatibleNames, configMapName, defaultNames, type Manifest, namespace } from '../api/manifest.ts'
import { renderInstall } from '../api/manifests.ts'
import type { KubeClient, KubeObject } from '../kube/client.ts'
import { coreResource } from '../kube/cluster-objects.ts'
import { isNotFound } from '../kube/kube-error.ts'
import { Complaint } from './complaint.ts'
import { isOurs, refuseHelmRelease } from './helm-release.ts'
import { applyManifest, describe, resourceOf } from './install.ts'
import { withRights } from './rights.ts'

export interface UninstallOptions {
  readonly isPurge: boolean
  /** Pods that have their network from us may lose it. */
  readonly isConfirmed: boolean
  /** Nodes that do not answer keep what they have of ours. */
  readonly isAbandoning: boolean
  readonly print: (line: string) => void
}

/** How long nodes may take without any of them getting further. */
const patienceMs = 120_000
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * First what could make things anew, then what each node has of ours, then the rest. The ConfigMap goes among the last: as
 * long as it is there nodes may have something left, and an uninstall that was broken off goes on where it was.
 */
export async function uninstall(client: KubeClient, options: UninstallOptions): Promise<void> {
  const { isPurge, isConfirmed, print } = options
  await refuseHelmRelease(
    client,
    (release) =>
      `clean the nodes with "helm upgrade ${release} CHART --namespace ${namespace} --reset-then-reuse-values --set cleanUp=true", wait until the DaemonSet sallyport-clean-up is ready, then run "helm uninstall ${release} --namespace ${namespace}"`,
  )
  const configuration = await readOurs(client, configMapName)
  if (configuration?.data?.['cni-chaining-mode'] === 'none' && !isConfirmed) await refuseToCutOff(client)
  const manifests = planUninstall()
  const isWorkload = ({ kind }: Manifest): boolean => kind === 'DaemonSet' || kind === 'Deployment'
  const remove = async (manifest: Manifest): Promise<void> => {
    const removal = await removeManifest(client, manifest, isPurge)
    if (removal !== 'not there') print(`${describe(manifest)} ${removal}`)
  }
  for (const manifest of manifests.filter(isWorkload)) await remove(manifest)
  if (configuration !== undefined) await cleanNodes(client, configMapData(configuration.data ?? {}), options)
  for (const manifest of manifests.filter((each) => !isWorkload(each))) await remove(manifest)
}

type ConfigMap = KubeObject & { readonly data?: Readonly<Record<string, string>> }

async function readOurs(client: KubeClient, name: string): Promise<ConfigMap | undefined> {
  try {
    const found = await client.resource<ConfigMap>(coreResource('configmaps', true)).get(name, namespace)
    return isOurs(found) ? found : undefined
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw withRights(error)
  }
}

interface PodObject extends KubeObject {
  readonly spec: { readonly nodeName?: string; readonly hostNetwork?: boolean }
  readonly status?: {
    readonly phase?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
  }
}

const pods = (client: KubeClient) => client.resource<PodObject>(coreResource('pods', true))

async function refuseToCutOff(client: KubeClient): Promise<void> {
  const { items } = await pods(client).list({})
  const wired = items.filter(
    ({ spec, status }) =>
      spec.hostNetwork !== true && spec.nodeName !== undefined && status?.phase === 'Running',
  )
  if (wired.length === 0) return
  throw new Complaint(
    `${wired.length} running pods have their network from Sallyport and lose it: they have to be started anew when the cluster has another CNI plugin. To go on: sallyport uninstall --yes`,
  )
}

/** Takes what is ours off every node, by a pod on each that is ready when it is done. */
async function cleanNodes(
  client: KubeClient,
  configMap: Readonly<Record<string, string>>,
  { isAbandoning, print }: UninstallOptions,
): Promise<void> {
  const manifest = cleanUpDaemonSet(configMap)
  const ofOurs = 'app.kubernetes.io/managed-by=sallyport'
  const ofCleanUp = 'k8s-app=sallyport-clean-up'
  await waitFor('agents and operators to end on', isAbandoning, print, async () => {
    const { items } = await pods(client).list({
      namespace,
      labelSelector: `${ofOurs},k8s-app!=sallyport-clean-up`,
    })
    return items.map(({ spec }) => spec.nodeName ?? 'no node')
  })
  print(`${describe(manifest)} ${await applyManifest(client, manifest)}`)
  await waitFor('nodes to be cleaned', isAbandoning, print, async () => {
    const nodes = await client.resource(coreResource('nodes', false)).list({})
    const { items } = await pods(client).list({ namespace, labelSelector: ofCleanUp })
    const clean = new Set(items.filter(isReady).map(({ spec }) => spec.nodeName))
    return nodes.items.map(({ metadata }) => metadata.name).filter((name) => !clean.has(name))
  })
  print(`${describe(manifest)} ${await removeManifest(client, manifest, false)}`)
}

function isReady({ metadata, status }: PodObject): boolean {
  return (
    metadata.deletionTimestamp === undefined &&
    (status?.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True')
  )
}

/** Until nobody is left, saying how many are each time it is fewer. */
async function waitFor(
  what: string,
  isAbandoning: boolean,
  print: (line: string) => void,
  left: () => Promise<readonly string[]>,
): Promise<void> {
  let fewest = Number.POSITIVE_INFINITY
  for (let movedAt = Date.now(); ; await sleep(300)) {
    const names = await left()
    if (names.length === 0) return
    if (names.length < fewest) {
      print(`waiting for ${what}: ${names.length} left`)
      fewest = names.length
      movedAt = Date.now()
    }
    if (Date.now() - movedAt < patienceMs) continue
    const list = [...new Set(names)].join(', ')
    if (!isAbandoning)
      throw new Complaint(
        `waited in vain for ${what}: ${list}. Run it again when they are back, or go on without them: --abandon-nodes. "sallyport-agent --clean-up" cleans a node by hand`,
      )
    print(`left as they are: ${list}`)
    return
  }
}

/** What an install under any of its names may have made, last applied first. */
function planUninstall(): Manifest[] {
  const manifests = [defaultNames, compatibleNames].flatMap((names) =>
    renderInstall(configMapData({ 'service-monitor': 'true' }), names),
  )
  return [...new Map(manifests.map((manifest) => [describe(manifest), manifest])).values()].reverse()
}

type Removal = 'deleted' | 'kept' | 'left alone' | 'not there'

/** Deletes what is ours. Definitions, and with them everybody's policies, are kept unless asked for. */
async function removeManifest(client: KubeClient, manifest: Manifest, isPurge: boolean): Promise<Removal> {
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
