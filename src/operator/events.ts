import { contentId } from '../decide/ids.ts'
import type { EventText } from '../decide/status/events.ts'
import type { KubeObject } from '../kube/client.ts'
import { isNotFound } from '../kube/kube-error.ts'
import type { Resource } from '../kube/resource.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'

/** The object that an Event is about. It has no namespace. */
export interface Subject {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
}

/** API servers accept Events about objects without a namespace in this namespace only. */
const namespace = 'default'

/** The limits of client-go: 25 Events at once for each object, then one in five minutes. */
const burst = 25
const refillMs = 300_000
/** How many Events wait for an unreachable API server. Further ones are lost. */
const maxWaiting = 100
/** How many Events are remembered, to count their repetitions. */
const maxRemembered = 1000

/**
 * Writes Events. A repeated Event is counted instead of written again. No other work waits for an Event. One that cannot be
 * written is lost, because the object's status says the same.
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

  /** Resolves when every recorded Event is written or lost. */
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
        if (!isNotFound(error)) throw error /* the API server deletes Events after an hour */
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

/** Kubernetes' limit for the message of an Event. */
const maxText = 1024

/** A unique name: two Events of the same moment differ in their key. Names have at most 253 characters. */
function eventName(of: string, nowMs: number, key: string): string {
  return `${of.slice(0, 200).replace(/[-.]+$/, '')}.${contentId(String(nowMs), key).toString(16)}`
}

/** Adds an entry, and removes the oldest one if there are too many. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > maxRemembered && oldest !== undefined) map.delete(oldest)
}
