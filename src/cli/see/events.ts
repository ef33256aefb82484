import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { formatColumns } from '../columns.ts'

interface EventObject extends KubeObject {
  readonly type?: string
  readonly reason?: string
  readonly message?: string
  readonly count?: number
  readonly firstTimestamp?: string
  readonly lastTimestamp?: string
  readonly reportingComponent?: string
  readonly involvedObject?: { readonly kind?: string; readonly name?: string }
}

interface TimelineEvent {
  readonly time: string
  /** What kind of thing happened. */
  readonly about: 'takeover' | 'hand-back' | 'conflict' | 'exhaustion' | 'policy'
  readonly type: string
  readonly reason: string
  readonly object: string
  readonly message: string
  readonly count: number
}

const subjects: Readonly<Record<string, TimelineEvent['about']>> = {
  GatewayUnhealthy: 'takeover',
  InterfaceUnusable: 'takeover',
  GatewayHealthy: 'hand-back',
  InterfacesUsable: 'hand-back',
  AddressConflict: 'conflict',
  EgressCIDRsOverlap: 'conflict',
  PoolExhausted: 'exhaustion',
  PoolSufficient: 'exhaustion',
  FewPortsLeft: 'exhaustion',
  NoPortsLeft: 'exhaustion',
  PodHoldsMost: 'exhaustion',
  PortsLeft: 'exhaustion',
  NoSlot: 'exhaustion',
}

/** API servers accept Events about objects without a namespace in this namespace only. */
const namespace = 'default'

/** The Events that Sallyport has written, the oldest first. API servers delete Events after an hour, if nothing else is configured. */
export async function readTimeline(client: KubeClient): Promise<readonly TimelineEvent[]> {
  const { items } = await client.resource<EventObject>(coreResource('events', true)).list({ namespace })
  return items
    .filter(({ reportingComponent = '' }) => reportingComponent.startsWith('sallyport'))
    .map(({ type = '', reason = '', message = '', count = 1, lastTimestamp, metadata, involvedObject }) => ({
      time: lastTimestamp ?? metadata.creationTimestamp ?? '',
      about: subjects[reason] ?? 'policy',
      ...{ type, reason, message, count },
      object: `${involvedObject?.kind ?? ''} ${involvedObject?.name ?? ''}`,
    }))
    .toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
}

export function formatTimeline(events: readonly TimelineEvent[]): string {
  return formatColumns([
    ['Time', 'About', 'Reason', 'Object', 'Message'],
    ...events.map(({ time, about, reason, object, message, count }) => [
      ...[time, about, reason, object],
      count > 1 ? `${message} (${count} times)` : message,
    ]),
  ])
}
