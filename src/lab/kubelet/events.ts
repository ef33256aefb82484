import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import type { Pod } from './pod-spec.ts'

export interface PodEvent {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
}

/** Tells of a pod what `kubectl describe` shows at its end. For people: that it cannot be written stops nothing. */
export async function recordEvent(
  client: KubeClient,
  node: string,
  pod: Pod,
  { type, reason, message }: PodEvent,
): Promise<void> {
  const { name, namespace = 'default', uid, resourceVersion } = pod.metadata
  const now = new Date()
  const time = now.toISOString().replace(/\.\d+/, '')
  const event = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name}.${now.getTime().toString(16)}`, namespace },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', name, namespace, uid, resourceVersion },
    type,
    reason,
    message,
    source: { component: 'kubelet', host: node },
    reportingComponent: 'kubelet',
    reportingInstance: node,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  }
  await client
    .resource(coreResource('events', true))
    .create(event as KubeObject)
    .catch(() => {})
}
