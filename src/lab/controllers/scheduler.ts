import { isConflict, isNotFound } from '../../kube/kube-error.ts'
import { timestamp } from '../../runtime/timestamp.ts'
import { recordEvent } from '../cluster/pod-events.ts'
import { type Cluster, podsName } from './cluster.ts'
import { isNodeReady, type NodeObject, type PodObject, refusal } from './workload.ts'

const source = { component: 'default-scheduler' }

type Placement =
  | { readonly kind: 'node'; readonly name: string }
  | { readonly kind: 'none'; readonly message: string }

/**
 * Chooses the eligible node with the fewest pods, or the last of them by name, as in the walkthrough. Host-network pods need
 * no CNI plugin, so they may go to nodes without one. They are spread by owner.
 */
export function place(pod: PodObject, nodes: readonly NodeObject[], pods: readonly PodObject[]): Placement {
  const isSystem = pod.spec.hostNetwork ?? false
  const whyNot = (node: NodeObject): string | undefined =>
    refusal(pod, node) ?? (isSystem || isNodeReady(node) ? undefined : 'node(s) were not ready')
  const load = (node: NodeObject): number =>
    pods.filter(
      (each) =>
        each.spec.nodeName === node.metadata.name &&
        (isSystem ? isSameOwner(each, pod) : !each.spec.hostNetwork),
    ).length
  const [chosen] = nodes
    .filter((node) => whyNot(node) === undefined)
    .map((node) => ({ name: node.metadata.name, load: load(node) }))
    .reverse()
    .sort((a, b) => a.load - b.load)
  if (chosen !== undefined) return { kind: 'node', name: chosen.name }
  if (nodes.length === 0) return { kind: 'none', message: 'no nodes available to schedule pods' }
  const reasons = nodes.map((node) => whyNot(node) ?? '')
  const counted = [...new Set(reasons)].map(
    (reason) => `${reasons.filter((each) => each === reason).length} ${reason}`,
  )
  return { kind: 'none', message: `0/${nodes.length} nodes are available: ${counted.join(', ')}.` }
}

function isSameOwner(a: PodObject, b: PodObject): boolean {
  return a.metadata.ownerReferences?.[0]?.uid === b.metadata.ownerReferences?.[0]?.uid
}

/** Binds a pod to a node, or writes into its status why no node fits. */
export async function schedule(cluster: Cluster, pod: PodObject): Promise<void> {
  if (pod.metadata.deletionTimestamp !== undefined) return
  const placement = place(pod, cluster.nodesByName(), cluster.pods())
  if (placement.kind === 'none') return explain(cluster, pod, placement.message)
  const { name, namespace = 'default', uid = '' } = pod.metadata
  try {
    await cluster.client.json({
      method: 'POST',
      path: cluster.client.resource(podsName).path(namespace, name, 'binding'),
      body: {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name, namespace, uid },
        target: { kind: 'Node', name: placement.name },
      },
    })
    const message = `Successfully assigned ${namespace}/${name} to ${placement.name}`
    await recordEvent(cluster.client, source, pod, { type: 'Normal', reason: 'Scheduled', message })
  } catch (error) {
    if (!isConflict(error) && !isNotFound(error)) throw error
  }
}

async function explain(cluster: Cluster, pod: PodObject, message: string): Promise<void> {
  const before = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled')
  if (before?.reason === 'Unschedulable' && before.message === message) return
  const conditions = [
    {
      type: 'PodScheduled',
      observedGeneration: pod.metadata.generation,
      status: 'False',
      lastProbeTime: null,
      lastTransitionTime: before?.status === 'False' ? before.lastTransitionTime : timestamp(Date.now()),
      reason: 'Unschedulable',
      message,
    },
  ]
  const { name, namespace = 'default' } = pod.metadata
  await cluster.client
    .resource(podsName)
    .patch(
      name,
      'merge',
      { status: { conditions } },
      { namespace, subresource: 'status', fieldManager: 'kube-scheduler' },
    )
  await recordEvent(cluster.client, source, pod, { type: 'Warning', reason: 'FailedScheduling', message })
}
