import { namespace } from '../../install/manifest.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { KubeError } from '../../kube/kube-error.ts'
import { lastWords } from './log-lines.ts'
import { explainPod, isPodReady, type PodEvent, type TroubledPod, troubledContainer } from './pod-trouble.ts'

interface NodeObject extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason?: string
      readonly message?: string
    }[]
  }
}

/** A node that runs no pods now, with the reason that the cluster gives. */
export interface AbsentNode {
  readonly name: string
  readonly reason: string
}

/** More would scroll the reason that counts off the screen. */
const maxPods = 10
const maxLogs = 5
const logLines = 20

/**
 * Nodes whose kubelet does not report. A kubelet that reports itself not ready still starts and ends pods: without any CNI plugin, before
 * an install, it does just that.
 */
export async function findAbsentNodes(client: KubeClient): Promise<readonly AbsentNode[]> {
  const { items } = await client
    .resource<NodeObject>(coreResource('nodes', false))
    .list({ notOlderThan: '0' })
  return items.flatMap(({ metadata: { name }, status }) =>
    absenceOf(status).map((reason) => ({ name, reason })),
  )
}

export function absenceOf(status: NodeObject['status']): readonly string[] {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')
  if (ready?.status !== 'Unknown') return []
  return [ready.message ?? ready.reason ?? 'its kubelet does not report']
}

export function describeAbsence({ name, reason }: AbsentNode): string {
  return `node ${name} is NotReady: ${reason}`
}

export function listOwnPods(client: KubeClient): Promise<readonly TroubledPod[]> {
  const labelSelector = 'app.kubernetes.io/managed-by=sallyport'
  const pods = client.resource<TroubledPod>(coreResource('pods', true))
  return pods.list({ namespace, labelSelector }).then(({ items }) => items)
}

/** Why these pods are not ready, one sentence each, nodes first. What the person may not read is left out. */
export async function explainPods(
  client: KubeClient,
  pods: readonly TroubledPod[],
): Promise<readonly string[]> {
  const troubled = pods.filter((pod) => !isPodReady(pod))
  if (troubled.length === 0) return []
  const absent = await unlessForbidden(findAbsentNodes(client), [])
  const names = new Set(absent.map(({ name }) => name))
  const present = troubled.filter(({ spec }) => !names.has(spec.nodeName ?? ''))
  const events = present.length === 0 ? [] : await unlessForbidden(listWarnings(client), [])
  const sentences = await Promise.all(
    present.slice(0, maxPods).map(async (pod, index) => {
      const words = index < maxLogs && isRunning(pod) ? await readLastWords(client, pod) : ''
      return `${explainPod(pod, events)}${words === '' ? '' : `; its log says: ${words}`}`
    }),
  )
  const more = present.length - maxPods
  return [
    ...absent.map(describeAbsence),
    ...sentences,
    ...(more > 0 ? [`${more} more pods are not ready`] : []),
  ]
}

async function listWarnings(client: KubeClient): Promise<readonly PodEvent[]> {
  const events = client.resource<PodEvent>(coreResource('events', true))
  return (await events.list({ namespace, fieldSelector: 'type=Warning,involvedObject.kind=Pod' })).items
}

const isRunning = (pod: TroubledPod): boolean => troubledContainer(pod)?.state?.running !== undefined

/** A pod's log is for help only: where it cannot be read, the pod's status stays what is known. */
async function readLastWords(client: KubeClient, pod: TroubledPod): Promise<string> {
  const path = client
    .resource(coreResource('pods', true))
    .path(pod.metadata.namespace ?? namespace, pod.metadata.name, 'log')
  const query = { container: troubledContainer(pod)?.name, tailLines: String(logLines) }
  try {
    const answer = await client.open({ method: 'GET', path, query, signal: AbortSignal.timeout(5_000) })
    return lastWords(await answer.body.text())
  } catch {
    return ''
  }
}

async function unlessForbidden<T>(read: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await read
  } catch (error) {
    if (error instanceof KubeError && error.code === 403) return otherwise
    throw error
  }
}
