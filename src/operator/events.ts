import { contentId } from '../decide/ids.ts'
import type { EventText } from '../decide/status/events.ts'
import type { KubeObject, Resource } from '../kube/client.ts'
import { isNotFound } from '../kube/kube-error.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'

/** The object that an event is about. None of ours is in a namespace. */
export interface Subject {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
}

/** Events of objects without a namespace are in this one: an API server takes them in no other. */
const namespace = 'default'

/** As client-go's own filter has it: a burst of 25 for each object, then one in five minutes. */
const burst = 25
const refillMs = 300_000
/** Events that wait for an API server that is away; more are lost. */
const maxWaiting = 100
/** Of those the operator knows whether one is told again. */
const maxRemembered = 1000

/**
 * Tells people what happened. An event that is told again is counted, not written anew. Nothing waits for an event, and
 * one that cannot be written is lost: what it says stands in a status, too.
 */
export class EventRecorder {
  readonly #resource: Pick<Resource<KubeObject>, 'create' | 'patch'>
  readonly #options: { readonly clock: Clock; readonly log: Logger; readonly instance: string }
  readonly #written = new Map<string, { readonly name: string; count: number }>()
  readonly #budgets = new Map<string, { tokens: number; atMs: number }>()
  #waiting = 0
  #last: Promise<void> = Promise.resolve()

  constructor(
    resource: Pick<Resource<KubeObject>, 'create' | 'patch'>,
    options: { readonly clock: Clock; readonly log: Logger; readonly instance: string },
  ) {
    this.#resource = resource
    this.#options = options
  }

  record(subject: Subject, event: EventText): void {
    if (this.#waiting >= maxWaiting || !this.#spend(subject)) return
    this.#waiting++
    this.#last = this.#last
      .then(() => this.#write(subject, event))
      .catch((error: unknown) => this.#options.log.warn({ err: error }, 'writing an Event failed'))
      .finally(() => this.#waiting--)
  }

  /** Resolves when all that was recorded is written, or lost. */
  async flush(): Promise<void> {
    await this.#last
  }

  #spend({ kind, name, uid }: Subject): boolean {
    const nowMs = this.#options.clock.monotonicMs()
    const key = `${kind} ${name} ${uid}`
    const { tokens, atMs } = this.#budgets.get(key) ?? { tokens: burst, atMs: nowMs }
    const refilled = Math.min(burst, tokens + (nowMs - atMs) / refillMs)
    if (refilled < 1) return false
    remember(this.#budgets, key, { tokens: refilled - 1, atMs: nowMs })
    return true
  }

  async #write(subject: Subject, event: EventText): Promise<void> {
    const key = [subject.kind, subject.name, subject.uid, event.type, event.reason, event.message].join(' ')
    const time = new Date(this.#options.clock.now()).toISOString().replace(/\.\d+/, '')
    const known = this.#written.get(key)
    if (known !== undefined) {
      known.count++
      try {
        await this.#resource.patch(
          known.name,
          'merge',
          { count: known.count, lastTimestamp: time },
          { namespace },
        )
        return
      } catch (error) {
        if (!isNotFound(error)) throw error /* the API server forgets events after an hour */
      }
    }
    const name = eventName(subject.name, this.#options.clock.now(), key)
    await this.#resource.create(this.#describe(name, subject, event, time), { namespace })
    remember(this.#written, key, { name, count: 1 })
  }

  #describe(name: string, subject: Subject, { type, reason, message }: EventText, time: string): KubeObject {
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject: subject,
      type,
      reason,
      message: message.slice(0, maxText),
      source: { component: 'sallyport-operator' },
      reportingComponent: 'sallyport-operator',
      reportingInstance: this.#options.instance,
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    }
    return event as KubeObject
  }
}

/** Of an event's message (Kubernetes' own limit). */
const maxText = 1024

/** Unlike any other: two events of one moment differ in what they say. A name has 253 characters at most. */
function eventName(of: string, nowMs: number, key: string): string {
  return `${of.slice(0, 200).replace(/[-.]+$/, '')}.${contentId(String(nowMs), key).toString(16)}`
}

/** The oldest goes when there are too many. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > maxRemembered && oldest !== undefined) map.delete(oldest)
}
