import { namespace } from '../../install/manifest.ts'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { KubeError } from '../../kube/kube-error.ts'
import { lastMessage } from './log-lines.ts'
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

/** A node whose kubelet does not report, with the message of its Ready condition. */
interface AbsentNode {
  readonly name: string
  readonly reason: string
}

/** A longer list would scroll the important reasons off the screen. */
const maxPods = 10
const maxLogs = 5
const logLines = 20

/**
 * The nodes whose Ready condition is Unknown. A kubelet that reports Ready=False still starts and stops pods. Before an install, without
 * any CNI plugin, all kubelets report that.
 */
export async function findAbsentNodes(client: KubeClient): Promise<readonly AbsentNode[]> {
  const { items } = await client
    .resource<NodeObject>(coreResource('nodes', false))
    .list({ notOlderThan: '0' })
  return items.flatMap(({ metadata: { name }, status }) =>
    absenceOf(status).map((reason) => ({ name, reason })),
  )
}

function absenceOf(status: NodeObject['status']): readonly string[] {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')
  if (ready?.status !== 'Unknown') return []
  return [ready.message ?? ready.reason ?? 'its kubelet does not report']
}

export function describeAbsence({ name, reason }: AbsentNode): string {
  return `node ${name} is NotReady (${reason.replace(/\.$/, '')})`
}

export function listOwnPods(client: KubeClient): Promise<readonly TroubledPod[]> {
  const labelSelector = 'app.kubernetes.io/managed-by=sallyport'
  const pods = client.resource<TroubledPod>(coreResource('pods', true))
  return pods.list({ namespace, labelSelector }).then(({ items }) => items)
}

/** Why these pods are not ready, one sentence each, absent nodes first. Leaves out what the user has no right to read. */
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
      const message = index < maxLogs && isRunning(pod) ? await readLastMessage(client, pod) : ''
      return `${explainPod(pod, events)}${message === '' ? '' : `; its last log message is: ${message}`}`
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

/** The log only adds to the pod's status, so an error is ignored. */
async function readLastMessage(client: KubeClient, pod: TroubledPod): Promise<string> {
  const path = client
    .resource(coreResource('pods', true))
    .path(pod.metadata.namespace ?? namespace, pod.metadata.name, 'log')
  const query = { container: troubledContainer(pod)?.name, tailLines: String(logLines) }
  try {
    const answer = await client.open({ method: 'GET', path, query, signal: AbortSignal.timeout(5_000) })
    return lastMessage(await answer.body.text())
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
