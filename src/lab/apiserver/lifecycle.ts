import type { ApiObject } from './api-object.ts'
import type { Catalog } from './catalog.ts'
import { resourceKey } from './resources.ts'
import { type Change, keyOf, type Store } from './store.ts'

/** Gone for good once nothing holds it: finalizers, or a pod's kubelet that has yet to end it. */
export function isFinished(object: ApiObject): boolean {
  const { deletionTimestamp, finalizers = [], deletionGracePeriodSeconds = 0 } = object.metadata
  return deletionTimestamp !== undefined && finalizers.length === 0 && deletionGracePeriodSeconds === 0
}

/**
 * What follows from a deletion: dependents of an owner that is gone go, too, and what is in a namespace goes before the
 * namespace itself. Runs after the change that caused it, so that a write is answered first.
 */
export class Lifecycle {
  readonly #store: Store
  readonly #catalog: Catalog
  readonly #orphaned = new Set<string>()

  constructor(store: Store, catalog: Catalog) {
    this.#store = store
    this.#catalog = catalog
    store.listen((change) => this.#follow(change))
  }

  /** Dependents of this owner stay when it goes. */
  orphanDependents(uid: string): void {
    this.#orphaned.add(uid)
  }

  /** After a start: what a crash left undone. */
  resume(): void {
    for (const { metadata } of this.#store.list('/namespaces')) {
      this.#furnishNamespace(metadata.name)
      if (metadata.deletionTimestamp !== undefined) setImmediate(() => this.emptyNamespace(metadata.name))
    }
    setImmediate(() => this.#collect())
  }

  #follow({ type, object, resource }: Change): void {
    if (resource === '/namespaces' && type === 'ADDED')
      setImmediate(() => this.#furnishNamespace(object.metadata.name))
    if (object.metadata.namespace !== undefined && type === 'DELETED') {
      const namespace = this.#store.get('/namespaces', object.metadata.namespace)
      if (namespace?.metadata.deletionTimestamp !== undefined)
        setImmediate(() => this.emptyNamespace(namespace.metadata.name))
    }
    if (type === 'DELETED') setImmediate(() => this.#collectDependents(object.metadata.uid ?? ''))
  }

  #furnishNamespace(namespace: string): void {
    if (this.#store.get('/namespaces', namespace) === undefined) return
    if (this.#store.get('/serviceaccounts', `${namespace}/default`) !== undefined) return
    const metadata = {
      name: 'default',
      namespace,
      uid: crypto.randomUUID(),
      creationTimestamp: new Date().toISOString().replace(/\.\d+/, ''),
    }
    this.#store.put('/serviceaccounts', `${namespace}/default`, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata,
    })
  }

  emptyNamespace(namespace: string): void {
    let remaining = 0
    for (const kind of this.#catalog.kinds)
      for (const object of this.#store.list(resourceKey(kind)))
        if (kind.isNamespaced && object.metadata.namespace === namespace) {
          remaining++
          this.delete(resourceKey(kind), object)
        }
    if (remaining === 0) this.#store.delete('/namespaces', namespace)
  }

  #collectDependents(uid: string): void {
    if (uid === '' || this.#orphaned.delete(uid)) return
    for (const resource of this.#store.resources())
      for (const object of this.#store.list(resource)) {
        const owners = object.metadata.ownerReferences ?? []
        if (
          owners.some((owner) => owner.uid === uid) &&
          !owners.some((owner) => owner.uid !== uid && this.#exists(owner.uid))
        )
          this.delete(resource, object)
      }
  }

  #exists(uid: string): boolean {
    return this.#store
      .resources()
      .some((resource) => this.#store.list(resource).some(({ metadata }) => metadata.uid === uid))
  }

  #collect(): void {
    const uids = new Set(
      this.#store
        .resources()
        .flatMap((resource) => this.#store.list(resource).map(({ metadata }) => metadata.uid)),
    )
    for (const resource of this.#store.resources())
      for (const object of this.#store.list(resource)) {
        const owners = object.metadata.ownerReferences ?? []
        if (owners.length > 0 && owners.every(({ uid }) => !uids.has(uid))) this.delete(resource, object)
      }
  }

  /** Marks it, or removes it where nothing holds it. A running pod has until its kubelet says that it has ended. */
  delete(resource: string, object: ApiObject, gracePeriodSeconds?: number): ApiObject {
    const graceful = resource === '/pods' && object.spec?.nodeName !== undefined && !hasEnded(object)
    const asked = gracePeriodSeconds ?? Number(object.spec?.terminationGracePeriodSeconds ?? 30)
    const seconds = graceful ? asked : 0
    const marked: ApiObject = {
      ...object,
      metadata: {
        ...object.metadata,
        deletionTimestamp:
          object.metadata.deletionTimestamp ??
          new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+/, ''),
        deletionGracePeriodSeconds: Math.min(seconds, object.metadata.deletionGracePeriodSeconds ?? seconds),
      },
    }
    if (resource === '/namespaces') {
      const terminating = { ...marked, status: { ...marked.status, phase: 'Terminating' } }
      const stored =
        object.metadata.deletionTimestamp === undefined
          ? this.#store.put(resource, keyOf(object), terminating)
          : terminating
      setImmediate(() => this.emptyNamespace(object.metadata.name))
      return stored
    }
    if (isFinished(marked)) return this.#store.delete(resource, keyOf(object)) ?? marked
    const isKnown =
      object.metadata.deletionTimestamp !== undefined &&
      object.metadata.deletionGracePeriodSeconds === marked.metadata.deletionGracePeriodSeconds
    return isKnown ? object : this.#store.put(resource, keyOf(object), marked)
  }
}

function hasEnded(pod: ApiObject): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}
