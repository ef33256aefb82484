import { timestamp } from '../../../runtime/timestamp.ts'
import type { DeleteOptions } from '../http/request.ts'
import { StatusError } from '../http/status-error.ts'
import type { ApiObject } from './api-object.ts'
import type { Catalog } from './catalog.ts'
import { resourceKey } from './resources.ts'
import { type Change, keyOf, type Store } from './store.ts'

/** Whether nothing delays the deletion: no finalizer, and no kubelet that has yet to end the pod. */
export function isFinished(object: ApiObject): boolean {
  const { deletionTimestamp, finalizers = [], deletionGracePeriodSeconds = 0 } = object.metadata
  return deletionTimestamp !== undefined && finalizers.length === 0 && deletionGracePeriodSeconds === 0
}

interface Place {
  readonly resource: string
  readonly key: string
}

const definitions = 'apiextensions.k8s.io/customresourcedefinitions'
/** Keeps an owner that is deleted in the foreground until its dependents are gone. */
const foreground = 'foregroundDeletion'
const lastingNamespaces = ['default', 'kube-system', 'kube-public']

/**
 * The consequences of a deletion. Dependents are deleted after their owner, the objects of a namespace before the namespace,
 * and the objects of a definition with it. They run after the write that caused them, so that the write is answered first.
 * What a crash interrupts is done after the next start.
 */
export class Lifecycle {
  readonly #store: Store
  readonly #catalog: Catalog
  readonly #placesByUid = new Map<string, Place>()
  /** By the owner's uid, then by `resource|key`. */
  readonly #dependents = new Map<string, Map<string, Place>>()
  readonly #namespacesToEmpty = new Set<string>()

  constructor(store: Store, catalog: Catalog) {
    this.#store = store
    this.#catalog = catalog
    for (const resource of store.resources())
      for (const object of store.values(resource)) this.#index(resource, object)
    store.listen((change) => this.#follow(change))
  }

  /** Call it after a start. It does what a crash interrupted. */
  resume(): void {
    for (const { metadata } of this.#store.list('/namespaces')) {
      this.#furnishNamespace(metadata.name)
      if (metadata.deletionTimestamp !== undefined) this.#emptySoon(metadata.name)
    }
    const builtIn = new Set(this.#catalog.kinds.filter(({ custom }) => custom === undefined).map(resourceKey))
    for (const resource of this.#store.resources()) {
      const [group, plural] = resource.split('/')
      const isDefined = this.#store.get(definitions, `${plural}.${group}`) !== undefined
      for (const object of this.#store.list(resource)) {
        if (!builtIn.has(resource) && !isDefined) this.delete(resource, object)
        else if (this.#isAbandoned(object)) this.delete(resource, object)
        else if (object.metadata.finalizers?.includes(foreground)) this.#deleteDependents(object)
      }
    }
  }

  #index(resource: string, object: ApiObject): void {
    const place = { resource, key: keyOf(object) }
    this.#placesByUid.set(object.metadata.uid ?? '', place)
    for (const { uid } of object.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(uid) ?? new Map<string, Place>()
      this.#dependents.set(uid, dependents.set(`${resource}|${place.key}`, place))
    }
  }

  #unindex(resource: string, object: ApiObject): void {
    this.#placesByUid.delete(object.metadata.uid ?? '')
    for (const { uid } of object.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(uid)
      dependents?.delete(`${resource}|${keyOf(object)}`)
      if (dependents?.size === 0) this.#dependents.delete(uid)
    }
  }

  #follow({ type, object, previous, resource }: Change): void {
    if (previous !== undefined) this.#unindex(resource, previous)
    if (type !== 'DELETED') this.#index(resource, object)
    if (type === 'ADDED') {
      if (resource === '/namespaces') setImmediate(() => this.#furnishNamespace(object.metadata.name))
      if (this.#isAbandoned(object)) setImmediate(() => this.#deleteAt({ resource, key: keyOf(object) }))
    }
    if (type !== 'DELETED') return
    if (object.metadata.namespace !== undefined) {
      const namespace = this.#store.get('/namespaces', object.metadata.namespace)
      if (namespace?.metadata.deletionTimestamp !== undefined) this.#emptySoon(namespace.metadata.name)
    }
    if (resource === definitions) setImmediate(() => this.#emptyDefinition(object))
    setImmediate(() => {
      for (const { uid } of object.metadata.ownerReferences ?? []) this.#releaseOwner(uid)
      this.#collectDependents(object.metadata.uid ?? '')
    })
  }

  #furnishNamespace(namespace: string): void {
    const key = `${namespace}/default`
    if (this.#store.get('/namespaces', namespace) === undefined) return
    if (this.#store.get('/serviceaccounts', key) !== undefined) return
    const creationTimestamp = timestamp(Date.now())
    this.#store.put('/serviceaccounts', key, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'default', namespace, uid: crypto.randomUUID(), creationTimestamp },
    })
  }

  #emptySoon(namespace: string): void {
    if (this.#namespacesToEmpty.size === 0) setImmediate(() => this.#emptyNamespaces())
    this.#namespacesToEmpty.add(namespace)
  }

  #emptyNamespaces(): void {
    const namespaces = [...this.#namespacesToEmpty]
    this.#namespacesToEmpty.clear()
    for (const namespace of namespaces) {
      let remaining = 0
      for (const kind of this.#catalog.kinds)
        for (const object of kind.isNamespaced ? this.#store.values(resourceKey(kind)) : [])
          if (object.metadata.namespace === namespace) {
            this.delete(resourceKey(kind), object)
            if (this.#store.get(resourceKey(kind), keyOf(object)) !== undefined) remaining++
          }
      const { finalizers = [] } = this.#store.get('/namespaces', namespace)?.metadata ?? {}
      if (remaining === 0 && finalizers.length === 0) this.#store.delete('/namespaces', namespace)
    }
  }

  #emptyDefinition(definition: ApiObject): void {
    const { group, names } = definition.spec as { group: string; names: { plural: string } }
    const resource = `${group}/${names.plural}`
    for (const object of this.#store.list(resource)) this.delete(resource, object)
  }

  /** The object has owners, and none of them exists. */
  #isAbandoned(object: ApiObject): boolean {
    const owners = object.metadata.ownerReferences ?? []
    return owners.length > 0 && owners.every(({ uid }) => !this.#placesByUid.has(uid))
  }

  #dependentsOf(uid: string): Place[] {
    return [...(this.#dependents.get(uid)?.values() ?? [])]
  }

  #deleteAt({ resource, key }: Place): void {
    const object = this.#store.get(resource, key)
    if (object !== undefined) this.delete(resource, object)
  }

  #collectDependents(uid: string): void {
    for (const place of this.#dependentsOf(uid)) {
      const object = this.#store.get(place.resource, place.key)
      if (object !== undefined && this.#isAbandoned(object)) this.delete(place.resource, object)
    }
  }

  #deleteDependents({ metadata: { uid = '' } }: ApiObject): void {
    for (const place of this.#dependentsOf(uid)) this.#deleteAt(place)
    this.#releaseOwner(uid)
  }

  #releaseOwner(uid: string): void {
    const place = this.#placesByUid.get(uid)
    const owner = place && this.#store.get(place.resource, place.key)
    if (place === undefined || owner === undefined || this.#dependents.has(uid)) return
    const { finalizers = [] } = owner.metadata
    if (!finalizers.includes(foreground)) return
    const others = finalizers.filter((finalizer) => finalizer !== foreground)
    const released = { ...owner, metadata: { ...owner.metadata, finalizers: others } }
    if (isFinished(released)) this.#store.delete(place.resource, place.key)
    else this.#store.put(place.resource, place.key, released)
  }

  /** Dependents lose this owner and stay. */
  #orphanDependents({ metadata: { uid = '' } }: ApiObject): void {
    for (const { resource, key } of this.#dependentsOf(uid)) {
      const object = this.#store.get(resource, key)
      const ownerReferences = object?.metadata.ownerReferences?.filter((owner) => owner.uid !== uid) ?? []
      if (object === undefined) continue
      const { ownerReferences: _, ...metadata } = object.metadata
      this.#store.put(resource, key, {
        ...object,
        metadata: ownerReferences.length === 0 ? metadata : { ...metadata, ownerReferences },
      })
    }
  }

  /** Marks the object, or removes it if nothing holds it. A running pod stays until its kubelet reports its end. */
  delete(resource: string, object: ApiObject, options: Partial<DeleteOptions> = {}): ApiObject {
    const { name } = object.metadata
    if (resource === '/namespaces' && lastingNamespaces.includes(name))
      throw new StatusError(
        403,
        'Forbidden',
        `namespaces "${name}" is forbidden: this namespace may not be deleted`,
      )
    const marked = this.#mark(resource, object, options)
    if (options.dryRun) return marked
    if (options.propagation === 'Orphan') this.#orphanDependents(object)
    const current = this.#store.get(resource, keyOf(object)) ?? object
    if (resource !== '/namespaces' && isFinished(marked)) {
      const { resourceVersion } = this.#store.delete(resource, keyOf(object))?.metadata ?? marked.metadata
      return { ...marked, metadata: { ...marked.metadata, ...(resourceVersion && { resourceVersion }) } }
    }
    const isKnown =
      current.metadata.deletionTimestamp !== undefined &&
      current.metadata.deletionGracePeriodSeconds === marked.metadata.deletionGracePeriodSeconds
    const stored = isKnown ? current : this.#store.put(resource, keyOf(object), marked)
    if (resource === '/namespaces') this.#emptySoon(name)
    if (marked.metadata.finalizers?.includes(foreground)) setImmediate(() => this.#deleteDependents(stored))
    return stored
  }

  #mark(resource: string, object: ApiObject, options: Partial<DeleteOptions>): ApiObject {
    const { metadata } = object
    const isGraceful = resource === '/pods' && Boolean(object.spec?.nodeName) && !hasEnded(object)
    const asked = options.gracePeriodSeconds ?? Number(object.spec?.terminationGracePeriodSeconds ?? 30)
    const seconds = isGraceful ? asked : 0
    const end = timestamp(Date.now() + seconds * 1000)
    const holds = options.propagation === 'Foreground' && this.#dependents.has(metadata.uid ?? '')
    const { finalizers = [] } = metadata
    return {
      ...object,
      metadata: {
        ...metadata,
        ...(metadata.generation === undefined || metadata.deletionTimestamp !== undefined
          ? {}
          : { generation: metadata.generation + 1 }),
        ...(holds ? { finalizers: [...new Set([...finalizers, foreground])] } : {}),
        /* To be deleted is a change of what is wanted. */
        ...(metadata.generation !== undefined && metadata.deletionTimestamp === undefined
          ? { generation: metadata.generation + 1 }
          : {}),
        deletionTimestamp: metadata.deletionTimestamp ?? end,
        deletionGracePeriodSeconds: Math.min(seconds, metadata.deletionGracePeriodSeconds ?? seconds),
      },
      ...(resource === '/namespaces' ? { status: { ...object.status, phase: 'Terminating' } } : {}),
    }
  }
}

function hasEnded(pod: ApiObject): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}
