import { isDeepStrictEqual } from 'node:util'
import { backoffMs, pauseAfterMs } from '../runtime/backoff.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import type { WatchView } from '../runtime/metrics/watches.ts'
import { type Random, systemRandom } from '../runtime/random.ts'
import type { KubeObject } from './client.ts'
import { isGone, KubeError } from './kube-error.ts'
import type { ListOptions, Resource } from './resource.ts'
import { watchOnce } from './watch.ts'

/** An object before and after a change. Undefined if it did not exist then. */
export interface Change<V> {
  readonly before: V | undefined
  readonly after: V | undefined
}

interface MirrorOptions<T, V> extends ListOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly random?: Random
  /** Chooses what to keep of an object, because a node's mirror of many objects must stay small. */
  readonly trim: (object: T) => V
  /**
   * The API server may answer a list from its cache. The list may be old, but never older than what this mirror has seen.
   */
  readonly mayLag?: boolean
  /** Called when this object may have changed. After a list, any object may have changed. */
  readonly onChange: (change?: Change<V>) => void
}

/**
 * A local copy of some objects. It lists, then watches, and continues where a watch ended. While the API server does not
 * answer, it keeps what it has and retries. `hasSynced` stays true from the first complete list on.
 */
export class Mirror<T extends KubeObject, V> {
  readonly #resource: Resource<T>
  readonly #options: MirrorOptions<T, V>
  #items = new Map<string, V>()
  #synced = Promise.withResolvers<void>()
  #resourceVersion: string | undefined
  /** The newest version that was ever seen. */
  #newest = '0'
  #loggedMessage: string | undefined
  #interruption = new AbortController()
  #relisted: PromiseWithResolvers<void> | undefined
  hasSynced = false
  /** The last request failed, so the copy may be old. */
  isStale = false
  /** When the API server last sent something, by the clock's monotonic time. */
  #heardMs: number

  constructor(resource: Resource<T>, options: MirrorOptions<T, V>) {
    this.#resource = resource
    this.#options = options
    this.#heardMs = options.clock.monotonicMs()
  }

  /** By `namespace/name`, or by name for kinds without namespaces. */
  get items(): ReadonlyMap<string, V> {
    return this.#items
  }

  /** Why the last request failed. Undefined if it succeeded. */
  get failure(): string | undefined {
    return this.#loggedMessage
  }

  get name(): string {
    return this.#resource.name.plural
  }

  get view(): WatchView {
    const { name: resource, isStale } = this
    return { resource, isStale, idleMs: this.#options.clock.monotonicMs() - this.#heardMs }
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

  /** Runs until the signal. Never throws. */
  async start(signal: AbortSignal): Promise<void> {
    const { clock, random = systemRandom } = this.#options
    let failures = 0
    while (!signal.aborted) {
      this.#interruption = new AbortController()
      const either = AbortSignal.any([signal, this.#interruption.signal])
      const beganMs = clock.monotonicMs()
      let hasProgressed = false
      try {
        /* Lists if it never did, or if a relist was requested. */
        if (this.#resourceVersion === undefined || this.#relisted !== undefined) await this.#list(either)
        await this.#watch(either, () => {
          hasProgressed = true
          failures = 0
        })
        /* A watch that ended without an event may do so again at once, so it counts as a failure. */
        if (!hasProgressed) await clock.sleep(backoffMs(failures++, random()), either)
      } catch (error) {
        if (signal.aborted) return
        if (either.aborted) continue
        if (isGone(error)) this.#resourceVersion = undefined
        else this.#noteFailure(error)
        /* The server's Retry-After counts for a relist too, because all nodes of a cluster relist at the same moment. */
        const asked = error instanceof KubeError ? error.retryAfterMs : undefined
        const pauseMs = pauseAfterMs(failures++, random(), clock.monotonicMs() - beganMs)
        await clock.sleep(Math.max(asked ?? 0, pauseMs), either)
      }
    }
  }

  /** An object that is not in the list any more was deleted meanwhile. */
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
      /* A change only of parts that are trimmed is not reported. */
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

  /** An equal object stays the same object, so that values computed from it stay valid. */
  #kept(object: T): V {
    const before = this.#items.get(keyOf(object))
    const after = this.#options.trim(object)
    return before !== undefined && isDeepStrictEqual(before, after) ? before : after
  }

  #noteSuccess(): void {
    this.#heardMs = this.#options.clock.monotonicMs()
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
