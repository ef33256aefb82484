import { type Manifest, type Names, namespace } from '../../install/manifest.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { describeAbsence, explainPods, findAbsentNodes, listOwnPods } from '../trouble/cluster-trouble.ts'
import type { TroubledPod } from '../trouble/pod-trouble.ts'
import { Complaint } from '../user-error.ts'
import { type Look, type Pace, waitUntilDone } from './waiting.ts'

interface Workload extends KubeObject {
  readonly spec?: {
    readonly replicas?: number
    readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> }
    readonly template?: { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } }
  }
  readonly status?: Readonly<Record<string, number>>
}

export interface RolloutOptions {
  readonly print: (line: string) => void
  readonly stuckAfterMs?: number
  readonly pace?: Pace
}

const stuckAfterMs = 300_000

const configurationKey = 'sallyport.dev/configuration'

interface Progress {
  readonly desired: number
  readonly updated: number
  readonly available: number
  /** Of a DaemonSet's: on nodes that are NotReady. They are neither updated nor available before their node returns. */
  readonly absent: number
}

/** Until every pod is one of the new kind and available, saying how far it is and why it does not get further. */
export async function waitForRollout(
  client: KubeClient,
  { operator, agent }: Names,
  options: RolloutOptions,
): Promise<void> {
  await waitForWorkload(client, 'deployments', operator, options)
  await waitForWorkload(client, 'daemonsets', agent, options)
  const absent = await findAbsentNodes(client)
  for (const node of absent) options.print(`${describeAbsence(node)}; its agent follows when it returns`)
  options.print(
    `All agents and operators ${absent.length > 0 ? 'of the other nodes ' : ''}are of this version and configuration.`,
  )
}

async function waitForWorkload(
  client: KubeClient,
  plural: 'deployments' | 'daemonsets',
  name: string,
  { print, pace, ...options }: RolloutOptions,
): Promise<void> {
  const workloads = client.resource<Workload>({ group: 'apps', version: 'v1', plural, isNamespaced: true })
  const look = async (): Promise<Look> => {
    const workload = await workloads.get(name, namespace)
    const { desired, updated, available, absent } = await progressOf(client, plural, workload)
    const isSeen = (workload.status?.observedGeneration ?? 0) >= (workload.metadata.generation ?? 0)
    const away = absent === 0 ? '' : `, ${absent} on NotReady nodes`
    return {
      line: isSeen
        ? `${name}: ${updated} of ${desired} updated, ${available} available${away}`
        : `${name}: waiting for the cluster's controllers to see the change`,
      isDone: isSeen && updated >= desired - absent && available >= desired - absent,
      why: async () => explainPods(client, podsOf(workload, await listOwnPods(client))),
    }
  }
  const isDone = await waitUntilDone(look, {
    print,
    stuckAfterMs: options.stuckAfterMs ?? stuckAfterMs,
    ...(pace === undefined ? {} : { pace }),
  })
  if (!isDone)
    throw new Complaint(
      `${name} does not get further, for the reasons above. Run "sallyport status" to see how it is now`,
    )
}

function podsOf({ spec }: Workload, pods: readonly TroubledPod[]): readonly TroubledPod[] {
  const wanted = Object.entries(spec?.selector?.matchLabels ?? {})
  return pods.filter(({ metadata: { labels } }) => wanted.every(([key, value]) => labels?.[key] === value))
}

async function progressOf(client: KubeClient, plural: string, workload: Workload): Promise<Progress> {
  const { spec, status = {} } = workload
  if (plural === 'deployments')
    return {
      desired: spec?.replicas ?? 1,
      updated: status.updatedReplicas ?? 0,
      available: status.availableReplicas ?? 0,
      absent: 0,
    }
  const progress = {
    desired: status.desiredNumberScheduled ?? 0,
    updated: status.updatedNumberScheduled ?? 0,
    available: status.numberAvailable ?? 0,
  }
  const isDone = progress.updated >= progress.desired && progress.available >= progress.desired
  if (isDone) return { ...progress, absent: 0 }
  const absent = await listAbsent(client, workload)
  const annotation = spec?.template?.metadata?.annotations?.[configurationKey]
  const isCurrent = ({ metadata }: TroubledPod): boolean =>
    metadata.deletionTimestamp === undefined && metadata.annotations?.[configurationKey] === annotation
  /* One that an absent node had before it went must not stand for one that a present node still lacks. */
  const updated = progress.updated - absent.filter(isCurrent).length
  return { ...progress, updated, absent: absent.length }
}

/** Pods of nodes that are away: they can neither end nor become ready. */
async function listAbsent(client: KubeClient, workload: Workload): Promise<readonly TroubledPod[]> {
  const names = new Set((await findAbsentNodes(client)).map(({ name }) => name))
  if (names.size === 0) return []
  return podsOf(workload, await listOwnPods(client)).filter(({ spec }) => names.has(spec.nodeName ?? ''))
}

/**
 * The same manifests, for a cluster some of whose nodes are NotReady. Their pods count as unavailable for good, so that they would use
 * up what a rolling update of the DaemonSet may take away, and it would never reach the other nodes.
 */
export function despiteAbsentNodes(manifests: readonly Manifest[], absent: number): readonly Manifest[] {
  return manifests.map((manifest) => {
    if (manifest.kind !== 'DaemonSet' || absent === 0) return manifest
    const { spec } = manifest as Manifest & { readonly spec: object }
    const rollingUpdate = { maxUnavailable: 1 + absent }
    return { ...manifest, spec: { ...spec, updateStrategy: { type: 'RollingUpdate', rollingUpdate } } }
  })
}
