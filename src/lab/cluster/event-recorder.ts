import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { timestamp } from '../../runtime/timestamp.ts'
import { type EventSource, eventObject, type PodEvent } from './pod-events.ts'

interface RecordedEvent {
  readonly name: string
  count: number
  /** Writes happen in order, because the count can be updated only after the Event has been created. */
  written: Promise<unknown>
}

interface Budget {
  left: number
  refilledMs: number
}

/** The limits of client-go's recorder: 25 events about one object at once, and then one every five minutes. */
const burst = 25
const refillMs = 300_000
const maxEntries = 1000

/** Records Events about pods. Like a real component, it increments the count of an Event that repeats. */
export class EventRecorder {
  readonly #client: KubeClient
  readonly #source: EventSource
  readonly #recorded = new Map<string, RecordedEvent>()
  readonly #budgets = new Map<string, Budget>()

  constructor(client: KubeClient, source: EventSource) {
    this.#client = client
    this.#source = source
  }

  /** Returns at once and ignores failures, because Events are for people. */
  record(pod: KubeObject, event: PodEvent): void {
    const { uid = '' } = pod.metadata
    if (!this.#isAllowed(uid, Date.now())) return
    const key = [uid, event.type, event.reason, event.fieldPath ?? '', event.message].join('\n')
    const known = this.#recorded.get(key)
    if (known === undefined) this.#create(key, pod, event)
    else this.#count(key, known, pod)
  }

  #isAllowed(uid: string, nowMs: number): boolean {
    const budget = this.#budgets.get(uid) ?? { left: burst, refilledMs: nowMs }
    this.#budgets.set(uid, budget)
    const refills = Math.floor((nowMs - budget.refilledMs) / refillMs)
    budget.left = Math.min(burst, budget.left + refills)
    budget.refilledMs += refills * refillMs
    deleteOldest(this.#budgets)
    if (budget.left === 0) return false
    budget.left--
    return true
  }

  #create(key: string, pod: KubeObject, event: PodEvent): void {
    const object = eventObject(this.#source, pod, event)
    const written = this.#events()
      .create(object)
      .catch(() => this.#recorded.delete(key))
    this.#recorded.set(key, { name: object.metadata.name, count: 1, written })
    deleteOldest(this.#recorded)
  }

  #count(key: string, known: RecordedEvent, pod: KubeObject): void {
    known.count++
    const { count, name } = known
    const { namespace = 'default' } = pod.metadata
    const lastTimestamp = timestamp(Date.now())
    known.written = known.written.then(() =>
      this.#events()
        .patch(name, 'merge', { count, lastTimestamp }, { namespace })
        /* The Event has been deleted, or the API server does not answer. The next one is created again. */
        .catch(() => this.#recorded.delete(key)),
    )
  }

  #events() {
    return this.#client.resource<KubeObject>(coreResource('events', true))
  }
}

function deleteOldest(map: Map<string, unknown>): void {
  const [oldest] = map.keys()
  if (map.size > maxEntries && oldest !== undefined) map.delete(oldest)
}
