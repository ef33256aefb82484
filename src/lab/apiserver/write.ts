import type { User } from './access.ts'
import { type ApiObject, isEqual, isObject } from './api-object.ts'
import { checkBuiltIn, checkChange, checkShape } from './built-in-rules.ts'
import { fillDefaults } from './defaults.ts'
import { applyConfiguration, trackUpdate } from './field-ownership.ts'
import { isFinished } from './lifecycle.ts'
import { listsOf } from './list-merging.ts'
import { restrictNode } from './node-restriction.ts'
import { applyPatch } from './patches.ts'
import { admitPod } from './pod-admission.ts'
import { randomSuffix } from './random-suffix.ts'
import { requireObject } from './request.ts'
import { apiVersionOf, type ResourceKind, resourceKey } from './resources.ts'
import { applyDefaults, prune, type Schema, validate } from './schema.ts'
import { alreadyExists, badRequest, conflict, invalid, notFound, StatusError } from './status-error.ts'
import { keyOf, type Store } from './store.ts'

export interface WriteRequest {
  readonly kind: ResourceKind
  readonly user?: User | undefined
  readonly namespace: string | undefined
  readonly name: string
  readonly subresource: string
  readonly manager: string
  readonly force: boolean
  readonly dryRun: boolean
  readonly fieldValidation: 'Strict' | 'Warn' | 'Ignore'
  readonly warn: (text: string) => void
}

const keyIn = (namespace: string | undefined, name: string): string =>
  namespace === undefined ? name : `${namespace}/${name}`
const timeNow = (): string => new Date().toISOString().replace(/\.\d+/, '')

export function create(store: Store, request: WriteRequest, body: unknown): ApiObject {
  const object = admit(request, requireObject(body))
  const { kind, namespace } = request
  if (!object.metadata.name && object.metadata.generateName)
    object.metadata.name = `${object.metadata.generateName}${randomSuffix()}`
  if (namespace !== undefined) {
    refuseOtherNamespace(request, object)
    const space = store.get('/namespaces', namespace)
    if (space === undefined) throw notFound('', 'namespaces', namespace)
    if (space.metadata.deletionTimestamp !== undefined)
      throw new StatusError(
        403,
        'Forbidden',
        `unable to create new content in namespace ${namespace} because it is being terminated`,
      )
    object.metadata.namespace = namespace
  } else delete object.metadata.namespace
  fillDefaults(kind, object)
  if (kind.custom?.hasStatus) delete object.status
  object.metadata = {
    ...object.metadata,
    uid: crypto.randomUUID(),
    creationTimestamp: timeNow(),
    generation: 1,
  }
  delete object.metadata.resourceVersion
  delete object.metadata.deletionTimestamp
  /* Who creates a pod owns what it said, and not what admission adds. */
  if (request.manager !== '' && object.metadata.managedFields === undefined)
    object.metadata.managedFields = trackUpdate(
      undefined,
      object,
      request.manager,
      undefined,
      timeNow(),
      listsOf(kind),
    )
  restrict(request, 'create', undefined, object)
  if (resourceKey(kind) === '/pods') admitPod(store, object, request.warn)
  check(request, object, undefined)
  const key = keyOf(object)
  if (store.get(resourceKey(kind), key) !== undefined)
    throw alreadyExists(kind.group, kind.plural, object.metadata.name)
  if (request.dryRun) return object
  return store.put(resourceKey(kind), key, object)
}

export function replace(store: Store, request: WriteRequest, body: unknown): ApiObject {
  const live = requireLive(store, request)
  const object = admit(request, requireObject(body))
  const { name } = object.metadata
  if (name !== request.name)
    throw badRequest(
      `the name of the object (${name ?? ''}) does not match the name on the URL (${request.name})`,
    )
  refuseOtherNamespace(request, object)
  return update(store, request, live, object)
}

function refuseOtherNamespace({ namespace }: WriteRequest, { metadata }: ApiObject): void {
  if (namespace !== undefined && metadata.namespace && metadata.namespace !== namespace)
    throw badRequest(
      `the namespace of the provided object does not match the namespace sent on the request (${metadata.namespace}, ${namespace})`,
    )
}

export function patch(store: Store, request: WriteRequest, type: string, body: unknown): ApiObject {
  const { kind, namespace, name } = request
  if (type === 'application/apply-patch+yaml') return apply(store, request, body)
  const live = requireLive(store, request)
  const base = structuredClone(live)
  const patched = applyPatch(type, base, body, kind.custom !== undefined)
  const object = admit(request, requireObject(patched))
  object.metadata.name = name
  if (namespace !== undefined) object.metadata.namespace = namespace
  return update(store, request, live, object)
}

function apply(store: Store, request: WriteRequest, body: unknown): ApiObject {
  const { kind, namespace, name, manager, force, subresource } = request
  if (manager === '')
    throw badRequest(
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    )
  const applied = admit(request, requireObject(body))
  applied.metadata.name ??= name
  if (namespace !== undefined) applied.metadata.namespace = namespace
  delete applied.metadata.managedFields
  const live = store.get(resourceKey(kind), keyIn(namespace, name))
  const part = subresource === '' ? undefined : subresource
  const merged = applyConfiguration(live, applied, manager, force, part, timeNow(), listsOf(kind))
  if (live !== undefined) return update(store, { ...request, manager: '' }, live, merged)
  if (part !== undefined) throw notFound(kind.group, kind.plural, name)
  return create(store, { ...request, manager: '' }, merged)
}

function requireLive(store: Store, { kind, namespace, name }: WriteRequest): ApiObject {
  const live = store.get(resourceKey(kind), keyIn(namespace, name))
  if (live === undefined) throw notFound(kind.group, kind.plural, name)
  return live
}

function update(store: Store, request: WriteRequest, live: ApiObject, proposed: ApiObject): ApiObject {
  const { kind, name, manager, subresource } = request
  const { resourceVersion, uid } = proposed.metadata
  if (resourceVersion && resourceVersion !== live.metadata.resourceVersion)
    throw conflict(kind.group, kind.plural, name)
  if (uid && uid !== live.metadata.uid) throw conflict(kind.group, kind.plural, name)
  if (subresource === '') fillDefaults(kind, proposed)
  const object = keepImmutable(kind, subresource, live, proposed)
  if (subresource === '' && kind.custom !== undefined && isObject(object.spec))
    applyDefaults(object, kind.custom.schema as Schema)
  const isSpecChanged = subresource === '' && !isEqual(withoutMeta(live), withoutMeta(object))
  object.metadata.generation = (live.metadata.generation ?? 1) + (isSpecChanged ? 1 : 0)
  restrict(request, 'update', live, object)
  check(request, object, live)
  if (manager !== '')
    object.metadata.managedFields = trackUpdate(
      live,
      object,
      manager,
      subresource === '' ? undefined : subresource,
      timeNow(),
      listsOf(kind),
    )
  if (isEqual(withoutVolatile(live), withoutVolatile(object))) return live
  if (request.dryRun) return object
  const stored = store.put(resourceKey(kind), keyOf(object), object)
  if (isFinished(stored) && kind.kind !== 'Namespace') store.delete(resourceKey(kind), keyOf(object))
  return stored
}

function restrict(
  { kind, user, subresource }: WriteRequest,
  verb: 'create' | 'update',
  live: ApiObject | undefined,
  object: ApiObject,
): void {
  if (user !== undefined) restrictNode(user, { kind, subresource, verb, live, object })
}

/** A status write touches the status alone, any other write everything but the status where it is a subresource. */
function keepImmutable(
  kind: ResourceKind,
  subresource: string,
  live: ApiObject,
  proposed: ApiObject,
): ApiObject {
  const hasStatus = kind.subresources.includes('status')
  const { uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds } = live.metadata
  const kept = {
    uid,
    creationTimestamp,
    deletionTimestamp,
    deletionGracePeriodSeconds,
    name: live.metadata.name,
    namespace: live.metadata.namespace,
  }
  if (subresource === 'status') {
    const { managedFields = live.metadata.managedFields } = proposed.metadata
    const labels = kind.kind === 'Node' ? proposed.metadata.labels : live.metadata.labels
    return withoutUndefined({
      ...live,
      status: proposed.status,
      metadata: { ...live.metadata, managedFields, labels },
    } as ApiObject)
  }
  const object = { ...proposed, metadata: { ...proposed.metadata, ...kept } } as ApiObject
  if (hasStatus) object.status = live.status as never
  return withoutUndefined(object)
}

function withoutUndefined(object: ApiObject): ApiObject {
  return JSON.parse(JSON.stringify(object)) as ApiObject
}

function withoutMeta({ metadata: _, status: __, ...rest }: ApiObject): object {
  return rest
}

function withoutVolatile(object: ApiObject): object {
  const { resourceVersion: _, managedFields, ...metadata } = object.metadata
  return { ...object, metadata, managedFields: managedFields?.map(({ time: __, ...entry }) => entry) }
}

/** The body must be of the kind of the URL; what the schema does not know is removed, and named as asked. */
function admit(request: WriteRequest, object: ApiObject): ApiObject {
  const { kind, fieldValidation, warn } = request
  object.apiVersion ??= apiVersionOf(kind)
  object.kind ??= kind.kind
  if (object.apiVersion !== apiVersionOf(kind) || object.kind !== kind.kind)
    throw badRequest(
      `the API version or kind in the data (${object.apiVersion}, ${object.kind}) does not match the expected one (${apiVersionOf(kind)}, ${kind.kind})`,
    )
  checkShape(kind, object)
  if (object.metadata.creationTimestamp === null) delete object.metadata.creationTimestamp
  if (kind.custom === undefined) return object
  const removed = prune(object, kind.custom.schema as Schema)
  if (removed.length > 0 && fieldValidation === 'Strict')
    throw badRequest(
      `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: strict decoding error: ${removed.map((path) => `unknown field "${path}"`).join(', ')}`,
    )
  if (fieldValidation === 'Warn') for (const path of removed) warn(`unknown field "${path}"`)
  return object
}

function check({ kind, subresource }: WriteRequest, object: ApiObject, live: ApiObject | undefined): void {
  checkBuiltIn(kind, object)
  if (live !== undefined && subresource === '') checkChange(kind, live, object)
  if (kind.custom === undefined) return
  const schema = kind.custom.schema as Schema
  if (live === undefined) applyDefaults(object, schema)
  const issues = validate(object, live, schema).filter(
    ({ field }) => subresource !== 'status' || field.startsWith('status'),
  )
  if (issues.length > 0) throw invalid(kind.group, kind.kind, object.metadata.name, issues)
}
