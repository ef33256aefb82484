import { type Manifest, type Names, namespace } from '../../install/manifest.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { describeAbsence, explainPods, findAbsentNodes, listOwnPods } from '../trouble/cluster-trouble.ts'
import type { TroubledPod } from '../trouble/pod-trouble.ts'
import { UserError } from '../user-error.ts'
import { type Intervals, type Progress, waitUntilDone } from './wait-until-done.ts'

interface Workload extends KubeObject {
  readonly spec?: {
    readonly replicas?: number
    readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> }
    readonly template?: { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } }
  }
  readonly status?: Readonly<Record<string, number>>
}

interface RolloutOptions {
  readonly print: (line: string) => void
  readonly stallTimeoutMs?: number
  readonly intervals?: Intervals
}

const stallTimeoutMs = 300_000

const configurationKey = 'sallyport.dev/configuration'

interface PodCounts {
  readonly desired: number
  readonly updated: number
  readonly available: number
  /** Pods of a DaemonSet on nodes that are NotReady. They can be neither updated nor available before their node returns. */
  readonly absent: number
}

/** Waits until every pod is updated and available. Prints the progress, and the reasons if there is none. */
export async function waitForRollout(
  client: KubeClient,
  { operator, agent }: Names,
  options: RolloutOptions,
): Promise<void> {
  await waitForWorkload(client, 'deployments', operator, options)
  await waitForWorkload(client, 'daemonsets', agent, options)
  const absent = await findAbsentNodes(client)
  for (const node of absent)
    options.print(`${describeAbsence(node)}. Its agent is updated when the node returns.`)
  options.print(
    `All agents and operators ${absent.length > 0 ? 'on the other nodes ' : ''}have this version and configuration.`,
  )
}

async function waitForWorkload(
  client: KubeClient,
  plural: 'deployments' | 'daemonsets',
  name: string,
  { print, intervals, ...options }: RolloutOptions,
): Promise<void> {
  const workloads = client.resource<Workload>({ group: 'apps', version: 'v1', plural, isNamespaced: true })
  const check = async (): Promise<Progress> => {
    const workload = await workloads.get(name, namespace)
    const { desired, updated, available, absent } = await countPods(client, plural, workload)
    const isSeen = (workload.status?.observedGeneration ?? 0) >= (workload.metadata.generation ?? 0)
    const notReady = absent === 0 ? '' : `, ${absent} on NotReady nodes`
    return {
      line: isSeen
        ? `${name}: ${updated} of ${desired} updated, ${available} available${notReady}`
        : `${name}: waiting until the cluster's controllers notice the change`,
      isDone: isSeen && updated >= desired - absent && available >= desired - absent,
      reasons: async () => explainPods(client, podsOf(workload, await listOwnPods(client))),
    }
  }
  const isDone = await waitUntilDone(check, {
    print,
    stallTimeoutMs: options.stallTimeoutMs ?? stallTimeoutMs,
    ...(intervals === undefined ? {} : { intervals }),
  })
  if (!isDone)
    throw new UserError(
      `the rollout of ${plural.slice(0, -1)}/${name} makes no progress, for the reasons above. Run "sallyport status" to see the current state`,
    )
}

function podsOf({ spec }: Workload, pods: readonly TroubledPod[]): readonly TroubledPod[] {
  const wanted = Object.entries(spec?.selector?.matchLabels ?? {})
  return pods.filter(({ metadata: { labels } }) => wanted.every(([key, value]) => labels?.[key] === value))
}

async function countPods(client: KubeClient, plural: string, workload: Workload): Promise<PodCounts> {
  const { spec, status = {} } = workload
  if (plural === 'deployments')
    return {
      desired: spec?.replicas ?? 1,
      updated: status.updatedReplicas ?? 0,
      available: status.availableReplicas ?? 0,
      absent: 0,
    }
  const counts = {
    desired: status.desiredNumberScheduled ?? 0,
    updated: status.updatedNumberScheduled ?? 0,
    available: status.numberAvailable ?? 0,
  }
  const isDone = counts.updated >= counts.desired && counts.available >= counts.desired
  if (isDone) return { ...counts, absent: 0 }
  const absent = await listAbsent(client, workload)
  const annotation = spec?.template?.metadata?.annotations?.[configurationKey]
  const isCurrent = ({ metadata }: TroubledPod): boolean =>
    metadata.deletionTimestamp === undefined && metadata.annotations?.[configurationKey] === annotation
  /* An updated pod on an absent node must not make up for a pod that is not yet updated on a present node. */
  const updated = counts.updated - absent.filter(isCurrent).length
  return { ...counts, updated, absent: absent.length }
}

/** The pods on absent nodes. They can neither stop nor become ready. */
async function listAbsent(client: KubeClient, workload: Workload): Promise<readonly TroubledPod[]> {
  const names = new Set((await findAbsentNodes(client)).map(({ name }) => name))
  if (names.size === 0) return []
  return podsOf(workload, await listOwnPods(client)).filter(({ spec }) => names.has(spec.nodeName ?? ''))
}

/**
 * The same manifests, for a cluster with nodes that are NotReady. Their pods are unavailable and would use up `maxUnavailable`, so that
 * the rolling update of the DaemonSet would never reach the other nodes.
 */
export function despiteAbsentNodes(manifests: readonly Manifest[], absent: number): readonly Manifest[] {
  return manifests.map((manifest) => {
    if (manifest.kind !== 'DaemonSet' || absent === 0) return manifest
    const { spec } = manifest as Manifest & { readonly spec: object }
    const rollingUpdate = { maxUnavailable: 1 + absent }
    return { ...manifest, spec: { ...spec, updateStrategy: { type: 'RollingUpdate', rollingUpdate } } }
  })
}
