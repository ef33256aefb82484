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
import { UserError } from '../user-error.ts'
import { isOurs, refuseHelmRelease } from './helm-release.ts'
import { applyManifest, describe, resourceOf } from './install.ts'
import { withRights } from './rights.ts'
import { type Progress, waitUntilDone } from './wait-until-done.ts'

interface UninstallOptions {
  readonly isPurge: boolean
  /** Uninstalls even if running pods lose their network. */
  readonly isConfirmed: boolean
  /** Does not wait for nodes that do not respond. They are not cleaned. */
  readonly abandonsNodes: boolean
  readonly print: (line: string) => void
}

/** The wait for nodes times out when no node has made progress for this long. */
const stallTimeoutMs = 120_000

/**
 * Removes the workloads first, because they would create objects again. Then it cleans the nodes, and then it removes the rest. The
 * ConfigMap is among the last. While it exists, an uninstall that was interrupted cleans the nodes again.
 */
export async function uninstall(client: KubeClient, options: UninstallOptions): Promise<void> {
  const { isPurge, isConfirmed, print } = options
  await refuseHelmRelease(
    client,
    (release) =>
      `To clean the nodes, run "helm upgrade ${release} CHART --namespace ${namespace} --reset-then-reuse-values --set cleanUp=true". Wait until the DaemonSet sallyport-clean-up is ready, and run "helm uninstall ${release} --namespace ${namespace}"`,
  )
  const configuration = await readOurs(client, configMapName)
  const isStandalone = configuration?.data?.['cni-chaining-mode'] === 'none'
  if (isStandalone && !isConfirmed) await refuseToDisconnect(client)
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

const withoutNetwork = `The nodes have no CNI plugin now. Install another one. Until then, pods without hostNetwork do not start, and "kubectl delete pod"
does not finish for them ("cni plugin not initialized"). Running pods have lost their network. Delete them when the other plugin works.`

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

async function refuseToDisconnect(client: KubeClient): Promise<void> {
  const { items } = await pods(client).list({})
  const wired = items.filter(
    ({ spec, status }) =>
      spec.hostNetwork !== true && spec.nodeName !== undefined && status?.phase === 'Running',
  )
  if (wired.length === 0) return
  throw new UserError(
    `Sallyport is the CNI plugin of ${wired.length} running pods, and they lose their network. Restart them when the cluster has another CNI plugin. To uninstall anyway, run: sallyport uninstall --yes`,
  )
}

/** Cleans every node with a pod that becomes ready when it has removed everything that Sallyport created there. */
async function cleanNodes(
  client: KubeClient,
  configMap: Readonly<Record<string, string>>,
  { abandonsNodes, print }: UninstallOptions,
): Promise<void> {
  const manifest = cleanUpDaemonSet(configMap)
  const absent = await findAbsentNodes(client)
  for (const node of absent)
    print(
      abandonsNodes
        ? `${describeAbsence(node)}. It is not cleaned.`
        : `${describeAbsence(node)}. To continue without it, use --abandon-nodes.`,
    )
  const abandoned = new Set(abandonsNodes ? absent.map(({ name }) => name) : [])
  const wait = { abandonsNodes, abandoned, print }
  await waitForNodes(client, 'agents and operators to stop', wait, async () => {
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
  readonly abandonsNodes: boolean
  /** Nodes that are not waited for. */
  readonly abandoned: ReadonlySet<string>
  readonly print: (line: string) => void
}

/** Waits until `left` returns no pods. It returns the pods that still have to stop, or to become ready. */
async function waitForNodes(
  client: KubeClient,
  goal: string,
  { abandonsNodes, abandoned, print }: NodeWait,
  left: () => Promise<readonly TroubledPod[]>,
): Promise<void> {
  let pods: readonly TroubledPod[] = []
  const check = async (): Promise<Progress> => {
    pods = (await left()).filter(({ spec }) => !abandoned.has(spec.nodeName ?? ''))
    return {
      line: pods.length === 0 ? '' : `waiting for ${goal}: ${pods.length} left`,
      isDone: pods.length === 0,
      reasons: () =>
        explainPods(
          client,
          pods.filter(({ metadata }) => metadata.name !== ''),
        ),
    }
  }
  if (await waitUntilDone(check, { print: (line) => line !== '' && print(line), stallTimeoutMs })) return
  const list = [...new Set(pods.map(({ spec }) => spec.nodeName ?? 'no node'))].join(', ')
  if (!abandonsNodes)
    throw new UserError(
      `timed out waiting for ${goal} on ${list}. Run the command again when these nodes are back, or continue without them: --abandon-nodes. To clean a node by hand, run "sallyport-agent --clean-up" on it`,
    )
  print(`not cleaned: ${list}`)
}

/** Everything that an install under any of its names may have created, in the reverse order of an install. */
function planUninstall(): Manifest[] {
  const manifests = [defaultNames, compatibleNames].flatMap((names) =>
    renderInstall(
      configMapData({ 'service-monitor': 'true', 'prometheus-rule': 'true', dashboards: 'true' }),
      names,
    ),
  )
  return [...new Map(manifests.map((manifest) => [describe(manifest), manifest])).values()].reverse()
}

type Removal = 'deleted' | 'kept' | 'left alone' | 'not there'

/** Deletes an object if it is ours. Definitions are kept unless `isPurge`, because all policies are deleted with them. */
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
