import type { KubeClient, KubeObject } from '../../../kube/client.ts'
import { coreResource } from '../../../kube/cluster-objects.ts'
import { isNotFound } from '../../../kube/kube-error.ts'
import { Mirror } from '../../../kube/mirror.ts'
import type { Clock } from '../../../runtime/clock.ts'
import type { Logger } from '../../../runtime/log.ts'
import type { KeyedObject } from './volume-files.ts'

interface Watched {
  readonly mirror: Mirror<KubeObject & KeyedObject, KeyedObject>
  readonly end: AbortController
}

interface NamedObjectsOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly log: Logger
  readonly onChange: () => void
}

/**
 * ConfigMaps or Secrets that this node's pods name. Each is read and watched by its own name: an API server lets a kubelet
 * have those objects, and no list of all of them.
 */
export class NamedObjects {
  readonly #options: NamedObjectsOptions
  readonly #plural: 'configmaps' | 'secrets'
  readonly #watched = new Map<string, Watched>()

  constructor(plural: 'configmaps' | 'secrets', options: NamedObjectsOptions) {
    this.#plural = plural
    this.#options = options
  }

  /** Undefined if there is no object with that name. Throws any other error of the API server. */
  async find(namespace: string, name: string): Promise<KeyedObject | undefined> {
    const key = `${namespace}/${name}`
    const { mirror } = this.#watched.get(key) ?? this.#watch(namespace, name)
    if (mirror.hasSynced && !mirror.isStale) return mirror.items.get(key)
    try {
      return keyedOf(await this.#resource().get(name, namespace))
    } catch (error) {
      if (isNotFound(error)) return undefined
      const known = mirror.items.get(key)
      if (known !== undefined) return known
      throw error
    }
  }

  /** Ends the watches of objects that no pod names any more. */
  keepOnly(keys: ReadonlySet<string>): void {
    for (const [key, { end }] of this.#watched) {
      if (keys.has(key)) continue
      end.abort()
      this.#watched.delete(key)
    }
  }

  #resource() {
    return this.#options.client.resource<KubeObject & KeyedObject>(coreResource(this.#plural, true))
  }

  #watch(namespace: string, name: string): Watched {
    const { clock, log, onChange } = this.#options
    const end = new AbortController()
    const mirror = new Mirror<KubeObject & KeyedObject, KeyedObject>(this.#resource(), {
      namespace,
      fieldSelector: `metadata.name=${name}`,
      clock,
      log,
      trim: keyedOf,
      onChange,
    })
    const watched = { mirror, end }
    this.#watched.set(`${namespace}/${name}`, watched)
    void mirror.start(end.signal)
    return watched
  }
}

const keyedOf = ({ data = {}, binaryData = {} }: KeyedObject): KeyedObject => ({ data, binaryData })
