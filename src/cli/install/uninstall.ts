import { cleanUpDaemonSet } from '../../install/agent-manifests.ts'
import { configMapData } from '../../install/configuration.ts'
import {
  compatibleNames,
  configMapName,
  defaultNames,
  type Manifest,
  namespace,
} from '../../install/manifest.ts'
import { renderInstall } from '../../install/manifests.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { describeAbsence, explainPods, findAbsentNodes, listOwnPods } from '../trouble/cluster-trouble.ts'
import { isPodReady, type TroubledPod } from '../trouble/pod-trouble.ts'
import { Complaint } from '../user-error.ts'
import { isOurs, refuseHelmRelease } from './helm-release.ts'
import { applyManifest, describe, resourceOf } from './install.ts'
import { withRights } from './rights.ts'
import { type Look, waitUntilDone } from './waiting.ts'

export interface UninstallOptions {
  readonly isPurge: boolean
  /** Pods that have their network from us may lose it. */
  readonly isConfirmed: boolean
  /** Nodes that do not answer keep what they have of ours. */
  readonly isAbandoning: boolean
  readonly print: (line: string) => void
}

/** How long nodes may take without any of them getting further. */
const stuckAfterMs = 120_000

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
  const isStandalone = configuration?.data?.['cni-chaining-mode'] === 'none'
  if (isStandalone && !isConfirmed) await refuseToCutOff(client)
  const manifests = planUninstall()
  const isWorkload = ({ kind }: Manifest): boolean => kind === 'DaemonSet' || kind === 'Deployment'
  let deleted = 0
  const remove = async (manifest: Manifest): Promise<void> => {
    const removal = await removeManifest(client, manifest, isPurge)
    if (removal === 'deleted') deleted++
    if (removal !== 'not there') print(`${describe(manifest)} ${removal}`)
  }
  for (const manifest of manifests.filter(isWorkload)) await remove(manifest)
  if (configuration !== undefined) await cleanNodes(client, configMapData(configuration.data ?? {}), options)
  for (const manifest of manifests.filter((each) => !isWorkload(each))) await remove(manifest)
  if (deleted === 0) print('Sallyport is not installed in this cluster: nothing was removed.')
  else if (isStandalone) print(withoutNetwork)
}

const withoutNetwork = `The nodes have no CNI plugin now. Until you install another one, no pod with a network of its own starts, and
"kubectl delete pod" waits for such pods ("cni plugin not initialized"). Pods that still run have no network: delete them then.`

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
  const absent = await findAbsentNodes(client)
  for (const node of absent)
    print(
      isAbandoning
        ? `${describeAbsence(node)}; it is left as it is`
        : `${describeAbsence(node)}; it is waited for. To go on without it: --abandon-nodes`,
    )
  const abandoned = new Set(isAbandoning ? absent.map(({ name }) => name) : [])
  const wait = { isAbandoning, abandoned, print }
  await waitForNodes(client, 'agents and operators to end on', wait, async () => {
    const own = await listOwnPods(client)
    return own.filter(({ metadata }) => metadata.labels?.['k8s-app'] !== cleanUpApp)
  })
  print(`${describe(manifest)} ${await applyManifest(client, manifest)}`)
  await waitForNodes(client, 'nodes to be cleaned', wait, async () => {
    const nodes = await client.resource(coreResource('nodes', false)).list({})
    const own = await listOwnPods(client)
    const cleaners = new Map(
      own.flatMap((pod) =>
        pod.metadata.labels?.['k8s-app'] === cleanUpApp ? [[pod.spec.nodeName, pod]] : [],
      ),
    )
    return nodes.items.flatMap(({ metadata: { name } }) => {
      const pod = cleaners.get(name)
      return pod !== undefined && isPodReady(pod)
        ? []
        : [pod ?? { metadata: { name: '' }, spec: { nodeName: name } }]
    })
  })
  print(`${describe(manifest)} ${await removeManifest(client, manifest, false)}`)
}

const cleanUpApp = 'sallyport-clean-up'

interface NodeWait {
  readonly isAbandoning: boolean
  /** Nodes that are not waited for. */
  readonly abandoned: ReadonlySet<string>
  readonly print: (line: string) => void
}

/** Until no node is left, saying which are and why. `left`: their pods, which are to end or to become ready. */
async function waitForNodes(
  client: KubeClient,
  what: string,
  { isAbandoning, abandoned, print }: NodeWait,
  left: () => Promise<readonly TroubledPod[]>,
): Promise<void> {
  let pods: readonly TroubledPod[] = []
  const look = async (): Promise<Look> => {
    pods = (await left()).filter(({ spec }) => !abandoned.has(spec.nodeName ?? ''))
    return {
      line: pods.length === 0 ? '' : `waiting for ${what}: ${pods.length} left`,
      isDone: pods.length === 0,
      why: () =>
        explainPods(
          client,
          pods.filter(({ metadata }) => metadata.name !== ''),
        ),
    }
  }
  if (await waitUntilDone(look, { print: (line) => line !== '' && print(line), stuckAfterMs })) return
  const list = [...new Set(pods.map(({ spec }) => spec.nodeName ?? 'no node'))].join(', ')
  if (!isAbandoning)
    throw new Complaint(
      `waited in vain for ${what}: ${list}. Run it again when they are back, or go on without them: --abandon-nodes. "sallyport-agent --clean-up" cleans a node by hand`,
    )
  print(`left as they are: ${list}`)
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
