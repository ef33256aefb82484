import { isDeepStrictEqual } from 'node:util'
import { backoffMs } from '../runtime/backoff.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import { type Random, systemRandom } from '../runtime/random.ts'
import type { KubeObject } from './client.ts'
import { isGone, KubeError } from './kube-error.ts'
import type { ListOptions, Resource } from './resource.ts'
import { watchOnce } from './watch.ts'

/** As it was before and is now; undefined where it was not there, or is not any more. */
export interface Change<V> {
  readonly before: V | undefined
  readonly after: V | undefined
}

interface MirrorOptions<T, V> extends ListOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly random?: Random
  /** What is kept of an object: a node's mirror of many objects must stay small. */
  readonly trim: (object: T) => V
  /** A list may come from the API server's memory: it may lag, but never behind what was seen before. */
  readonly mayLag?: boolean
  /** Something may have changed: after a list anything, else this object. */
  readonly onChange: (change?: Change<V>) => void
}

/**
 * A local copy of some objects, kept up to date: list, then watch, resumed where it ended. While the API server is away it
 * keeps what it knows and keeps trying. `hasSynced` stays true from the first complete list on.
 */
export class Mirror<T extends KubeObject, V> {
  readonly #resource: Resource<T>
  readonly #options: MirrorOptions<T, V>
  #items = new Map<string, V>()
  #synced = Promise.withResolvers<void>()
  #resourceVersion: string | undefined
  /** The newest that was ever seen. */
  #newest = '0'
  #loggedMessage: string | undefined
  #interruption = new AbortController()
  #relisted: PromiseWithResolvers<void> | undefined
  hasSynced = false
  /** The last request failed; what is here may be old. */
  isStale = false

  constructor(resource: Resource<T>, options: MirrorOptions<T, V>) {
    this.#resource = resource
    this.#options = options
  }

  /** By `namespace/name`, or by name for kinds without namespaces. */
  get items(): ReadonlyMap<string, V> {
    return this.#items
  }

  /** Why the last request failed; undefined where it did not. */
  get failure(): string | undefined {
    return this.#loggedMessage
  }

  get name(): string {
    return this.#resource.name.plural
  }

  get resourceVersion(): string | undefined {
    return this.#resourceVersion
  }

  /** Resolves at the first complete list. */
  get synced(): Promise<void> {
    return this.#synced.promise
  }

  /** Resolves at a complete list that began after this call. */
  relist(): Promise<void> {
    this.#relisted ??= Promise.withResolvers<void>()
    this.#interruption.abort()
    return this.#relisted.promise
  }

  /** Until the signal. Never throws. */
  async start(signal: AbortSignal): Promise<void> {
    const { clock, random = systemRandom } = this.#options
    let failures = 0
    while (!signal.aborted) {
      this.#interruption = new AbortController()
      const either = AbortSignal.any([signal, this.#interruption.signal])
      let hasProgressed = false
      try {
        /* Asked for, or never done: events that came with the one that made somebody ask have moved the version on. */
        if (this.#resourceVersion === undefined || this.#relisted !== undefined) await this.#list(either)
        await this.#watch(either, () => {
          hasProgressed = true
          failures = 0
        })
        /* One that ended before it said anything may do so again, and at once. */
        if (!hasProgressed) await clock.sleep(backoffMs(failures++, random()), either)
      } catch (error) {
        if (signal.aborted) return
        if (either.aborted) continue
        if (isGone(error)) this.#resourceVersion = undefined
        else this.#noteFailure(error)
        /* Also where everything has to be listed anew: all nodes of a cluster are told so at the same moment. */
        const asked = error instanceof KubeError ? error.retryAfterMs : undefined
        await clock.sleep(Math.max(asked ?? 0, backoffMs(failures++, random())), either)
      }
    }
  }

  /** What was here and is not in the list any more has been deleted meanwhile. */
  async #list(signal: AbortSignal): Promise<void> {
    const { onChange, mayLag } = this.#options
    const options = mayLag ? { ...this.#options, notOlderThan: this.#newest } : this.#options
    const list = await this.#resource.list(options, signal)
    signal.throwIfAborted()
    this.#items = new Map(list.items.map((object) => [keyOf(object), this.#kept(object)]))
    this.#advance(list.metadata.resourceVersion)
    this.hasSynced = true
    this.#noteSuccess()
    this.#synced.resolve()
    this.#relisted?.resolve()
    this.#relisted = undefined
    onChange()
  }

  async #watch(signal: AbortSignal, onProgress: () => void): Promise<void> {
    const { clock, random = systemRandom, onChange } = this.#options
    const version = this.#resourceVersion ?? '0'
    for await (const event of watchOnce(this.#resource, this.#options, version, { clock, random }, signal)) {
      onProgress()
      this.#noteSuccess()
      if (event.type === 'BOOKMARK') {
        this.#advance(event.resourceVersion)
        continue
      }
      const key = keyOf(event.object)
      const before = this.#items.get(key)
      this.#advance(event.object.metadata.resourceVersion)
      const after = this.#kept(event.object)
      /* What differs only in what is trimmed is no news. */
      if (event.type !== 'DELETED' && before !== undefined && before === after) continue
      if (event.type === 'DELETED') this.#items.delete(key)
      else this.#items.set(key, after)
      onChange({ before, after: event.type === 'DELETED' ? undefined : after })
    }
  }

  #advance(version: string | undefined): void {
    this.#resourceVersion = version || (this.#resourceVersion ?? '0')
    this.#newest = this.#resourceVersion
  }

  /** What is the same as before stays the same object, and with it what was worked out from it. */
  #kept(object: T): V {
    const before = this.#items.get(keyOf(object))
    const after = this.#options.trim(object)
    return before !== undefined && isDeepStrictEqual(before, after) ? before : after
  }

  #noteSuccess(): void {
    if (this.isStale)
      this.#options.log.info({ resource: this.#resource.name.plural }, 'the API server answers again')
    this.isStale = false
    this.#loggedMessage = undefined
  }

  #noteFailure(error: unknown): void {
    this.isStale = true
    const message = error instanceof Error ? error.message : String(error)
    if (message === this.#loggedMessage) return
    this.#loggedMessage = message
    this.#options.log.warn({ resource: this.#resource.name.plural, err: error }, 'the watch failed; retrying')
  }
}

function keyOf({ metadata: { namespace, name } }: KubeObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`
}
