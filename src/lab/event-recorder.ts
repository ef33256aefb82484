import type { KubeClient, KubeObject } from '../kube/client.ts'
import { coreResource } from '../kube/cluster-objects.ts'
import { type EventSource, eventObject, type PodEvent } from './pod-events.ts'

interface Told {
  readonly name: string
  count: number
  /** One after the other: a count must not overtake the event that it counts. */
  written: Promise<unknown>
}

interface Allowance {
  left: number
  refilledMs: number
}

/** As client-go's recorder: so many events of one object at once, and then one every five minutes. */
const burst = 25
const refillMs = 300_000
const remembered = 1000

/** Tells of pods. What is said again is counted in the event that is there, as real parts of a cluster do it. */
export class EventRecorder {
  readonly #client: KubeClient
  readonly #source: EventSource
  readonly #told = new Map<string, Told>()
  readonly #allowances = new Map<string, Allowance>()

  constructor(client: KubeClient, source: EventSource) {
    this.#client = client
    this.#source = source
  }

  /** Stops nothing and waits for nothing: events are for people. */
  tell(pod: KubeObject, event: PodEvent): void {
    const { uid = '' } = pod.metadata
    if (!this.#isAllowed(uid, Date.now())) return
    const key = [uid, event.type, event.reason, event.fieldPath ?? '', event.message].join('\n')
    const known = this.#told.get(key)
    if (known === undefined) this.#begin(key, pod, event)
    else this.#count(key, known, pod)
  }

  #isAllowed(uid: string, nowMs: number): boolean {
    const allowance = this.#allowances.get(uid) ?? { left: burst, refilledMs: nowMs }
    this.#allowances.set(uid, allowance)
    const refills = Math.floor((nowMs - allowance.refilledMs) / refillMs)
    allowance.left = Math.min(burst, allowance.left + refills)
    allowance.refilledMs += refills * refillMs
    forgetOldest(this.#allowances)
    if (allowance.left === 0) return false
    allowance.left--
    return true
  }

  #begin(key: string, pod: KubeObject, event: PodEvent): void {
    const object = eventObject(this.#source, pod, event)
    const written = this.#events()
      .create(object)
      .catch(() => this.#told.delete(key))
    this.#told.set(key, { name: object.metadata.name, count: 1, written })
    forgetOldest(this.#told)
  }

  #count(key: string, known: Told, pod: KubeObject): void {
    known.count++
    const { count, name } = known
    const { namespace = 'default' } = pod.metadata
    const lastTimestamp = new Date().toISOString().replace(/\.\d+/, '')
    known.written = known.written.then(() =>
      this.#events()
        .patch(name, 'merge', { count, lastTimestamp }, { namespace })
        /* It has been taken away meanwhile, or the API server is: it is told anew next time. */
        .catch(() => this.#told.delete(key)),
    )
  }

  #events() {
    return this.#client.resource<KubeObject>(coreResource('events', true))
  }
}

/** What was first put in goes first. */
function forgetOldest(map: Map<string, unknown>): void {
  const [oldest] = map.keys()
  if (map.size > remembered && oldest !== undefined) map.delete(oldest)
}
