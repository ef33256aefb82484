import type { Call, KubeClient, KubeObject, ResourceName } from './client.ts'

interface KubeList<T> {
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string }
  readonly items: readonly T[]
}

export interface ListOptions {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  /**
   * The list must be at least as new as this resourceVersion, so the API server may answer from its cache instead of asking
   * etcd. `0` accepts whatever the cache has. Without this option the API server asks etcd.
   */
  readonly notOlderThan?: string
}

type PatchType = 'merge' | 'json' | 'strategic' | 'apply'

interface WriteOptions {
  readonly namespace?: string
  readonly subresource?: string
  readonly fieldManager?: string
  readonly force?: boolean
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
}

const contentTypes: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
}

/** The objects of one kind. */
export class Resource<T extends KubeObject> {
  readonly client: KubeClient
  readonly name: ResourceName

  constructor(client: KubeClient, name: ResourceName) {
    this.client = client
    this.name = name
  }

  path(namespace?: string, object?: string, subresource?: string): string {
    const { group, version, plural, isNamespaced } = this.name
    const parts = [
      group === '' ? `/api/${version}` : `/apis/${group}/${version}`,
      ...(isNamespaced && namespace !== undefined ? [`namespaces/${encodeURIComponent(namespace)}`] : []),
      plural,
      ...(object === undefined ? [] : [encodeURIComponent(object)]),
      ...(subresource === undefined ? [] : [subresource]),
    ]
    return parts.join('/')
  }

  async get(name: string, namespace?: string, signal?: AbortSignal): Promise<T> {
    const path = this.path(namespace, name)
    return (await this.client.json({ method: 'GET', path, ...(signal === undefined ? {} : { signal }) })) as T
  }

  /** Lists the objects, page by page, and returns those of all pages. */
  async list(options: ListOptions = {}, signal?: AbortSignal): Promise<KubeList<T>> {
    const items: T[] = []
    let from: string | undefined
    for (;;) {
      const page = (await this.client.json({
        method: 'GET',
        path: this.path(options.namespace),
        query: {
          labelSelector: options.labelSelector,
          fieldSelector: options.fieldSelector,
          limit: '500',
          continue: from,
          ...(from === undefined ? versionQuery(options.notOlderThan) : {}),
        },
        ...(signal === undefined ? {} : { signal }),
      })) as KubeList<T>
      items.push(...(page.items ?? []))
      from = page.metadata.continue
      if (!from) return { metadata: page.metadata, items }
    }
  }

  async create(object: T, options: WriteOptions = {}): Promise<T> {
    const namespace = options.namespace ?? object.metadata.namespace
    return (await this.client.json({
      method: 'POST',
      path: this.path(namespace, undefined),
      ...asked(options),
      body: object,
    })) as T
  }

  /** Fails with a conflict if the object has another resourceVersion by now. */
  async replace(object: T, options: WriteOptions = {}): Promise<T> {
    const { name, namespace } = object.metadata
    return (await this.client.json({
      method: 'PUT',
      path: this.path(options.namespace ?? namespace, name, options.subresource),
      ...asked(options),
      body: object,
    })) as T
  }

  async patch(name: string, type: PatchType, body: unknown, options: WriteOptions = {}): Promise<T> {
    return (await this.client.json({
      method: 'PATCH',
      path: this.path(options.namespace, name, options.subresource),
      ...asked(options),
      body,
      contentType: contentTypes[type],
    })) as T
  }

  /** Server-side apply: sets the fields of `object`, and removes fields that this manager set before and no longer sets. */
  async apply(object: T, options: WriteOptions & { readonly fieldManager: string }): Promise<T> {
    const namespace = options.namespace ?? object.metadata.namespace
    return this.patch(object.metadata.name, 'apply', object, {
      ...options,
      ...(namespace ? { namespace } : {}),
    })
  }

  /** With a `uid`, fails with a conflict if the name now belongs to another object. */
  async delete(
    name: string,
    options: {
      readonly namespace?: string
      readonly gracePeriodSeconds?: number
      readonly uid?: string | undefined
    } = {},
  ) {
    const { namespace, gracePeriodSeconds, uid } = options
    return this.client.json({
      method: 'DELETE',
      path: this.path(namespace, name),
      body: {
        propagationPolicy: 'Background',
        ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
        ...(uid === undefined ? {} : { preconditions: { uid } }),
      },
    })
  }
}

/** Without resourceVersionMatch, the API server takes a version with a limit to mean exactly this version, unless it is 0. */
function versionQuery(version: string | undefined): Record<string, string | undefined> {
  return {
    resourceVersion: version,
    resourceVersionMatch: version === undefined || version === '0' ? undefined : 'NotOlderThan',
  }
}

function asked({ fieldManager, force, dryRun, signal }: WriteOptions): Pick<Call, 'query' | 'signal'> {
  const query = { fieldManager, force: force ? 'true' : undefined, dryRun: dryRun ? 'All' : undefined }
  return { query, ...(signal === undefined ? {} : { signal }) }
}
