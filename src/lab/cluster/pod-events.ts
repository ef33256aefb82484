import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { timestamp } from '../../runtime/timestamp.ts'

export interface PodEvent {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
  /** The container that the Event is about, as `spec.containers{name}`. */
  readonly fieldPath?: string
}

/** The component that reports the Event, and its host. */
export interface EventSource {
  readonly component: string
  readonly host?: string
}

/** Creates an Event about a pod, which `kubectl describe` shows. Events are for people, so a failure is ignored. */
export async function recordEvent(
  client: KubeClient,
  source: EventSource,
  pod: KubeObject,
  event: PodEvent,
): Promise<void> {
  await client
    .resource(coreResource('events', true))
    .create(eventObject(source, pod, event))
    .catch(() => {})
}

export function eventObject(source: EventSource, pod: KubeObject, event: PodEvent): KubeObject {
  const { name, namespace = 'default', uid, resourceVersion } = pod.metadata
  const { type, reason, message, fieldPath } = event
  const time = timestamp(Date.now())
  const object = {
    apiVersion: 'v1',
    kind: 'Event',
    /* Several Events can happen in one millisecond. */
    metadata: { name: `${name}.${process.hrtime.bigint().toString(16)}`, namespace },
    involvedObject: {
      apiVersion: 'v1',
      kind: 'Pod',
      name,
      namespace,
      uid,
      resourceVersion,
      ...(fieldPath === undefined ? {} : { fieldPath }),
    },
    type,
    reason,
    message,
    source,
    reportingComponent: source.component,
    reportingInstance: source.host ?? source.component,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  }
  return object as KubeObject
}
