import { timestamp } from '../../../runtime/timestamp.ts'
import type { User } from '../access/access.ts'
import { restrictNode } from '../access/node-restriction.ts'
import { requireObject } from '../http/request.ts'
import { alreadyExists, badRequest, conflict, invalid, notFound, StatusError } from '../http/status-error.ts'
import { applyDefaults, type Schema } from '../schema/schema.ts'
import { admit, check, dropEmptyMetadata, refuseImmutable, refuseUndeclared } from './admit.ts'
import { type ApiObject, isEqual, isObject, type ManagedFields } from './api-object.ts'
import { fillDefaults, noteStoredVersion } from './defaults.ts'
import { emptyObject } from './empty-objects.ts'
import { applyConfiguration, trackUpdate, type Writer } from './field-ownership.ts'
import { isFinished } from './lifecycle.ts'
import { listsOf } from './list-merging.ts'
import { generatedBase } from './object-metadata.ts'
import { applyPatch } from './patches.ts'
import { admitPod } from './pod-admission.ts'
import { randomSuffix } from './random-suffix.ts'
import { hasGeneration, type ResourceKind, resourceKey } from './resources.ts'
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
  readonly isPatch?: boolean
  /** managedFields are settled already. */
  readonly isApply?: boolean
}

const keyIn = (namespace: string | undefined, name: string): string =>
  namespace === undefined ? name : `${namespace}/${name}`

export function create(store: Store, request: WriteRequest, body: unknown): ApiObject {
  const object = admit(request, requireObject(body))
  const { kind } = request
  if (object.metadata.resourceVersion)
    throw new StatusError(500, '', 'resourceVersion should not be set on objects to be created')
  if (!object.metadata.name && object.metadata.generateName)
    object.metadata.name = `${generatedBase(object.metadata.generateName)}${randomSuffix()}`
  enterNamespace(store, request, object)
  if (kind.custom?.hasStatus || kind.kind === 'CustomResourceDefinition') delete object.status
  fillDefaults(kind, object)
  const { deletionTimestamp: _, deletionGracePeriodSeconds: __, selfLink: ___, ...metadata } = object.metadata
  object.metadata = {
    ...metadata,
    uid: crypto.randomUUID(),
    creationTimestamp: timestamp(Date.now()),
    generation: 1,
  }
  if (!hasGeneration(kind)) delete object.metadata.generation
  dropEmptyMetadata(object)
  /* Who creates a pod owns what it said, and not what admission adds. */
  if (!request.isApply)
    object.metadata.managedFields = trackUpdate(
      written(request, emptyObject(kind)),
      written(request, object),
      writerOf(request),
      listsOf(kind),
      [],
    )
  restrict(request, 'create', undefined, object)
  if (resourceKey(kind) === '/pods') admitPod(store, object, request.warn)
  check(request, object, undefined)
  refuseExisting(store, kind, object)
  dropEmptyMetadata(object)
  if (request.dryRun) return object
  return store.put(resourceKey(kind), keyOf(object), object)
}

function enterNamespace(store: Store, request: WriteRequest, object: ApiObject): void {
  const { namespace } = request
  if (namespace === undefined) {
    delete object.metadata.namespace
    return
  }
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
}

function refuseExisting(store: Store, kind: ResourceKind, object: ApiObject): void {
  const present = store.get(resourceKey(kind), keyOf(object))
  if (present === undefined) return
  const isGoing = present.metadata.deletionTimestamp !== undefined
  throw alreadyExists(
    kind.group,
    kind.plural,
    object.metadata.name,
    isGoing ? 'object is being deleted: ' : '',
  )
}

export function replace(store: Store, request: WriteRequest, body: unknown): ApiObject {
  const object = requireObject(body)
  requireName(request, object)
  const live = requireLive(store, request)
  admit(request, object)
  refuseOtherNamespace(request, object)
  const { kind, name } = request
  const { uid } = object.metadata
  if (kind.custom !== undefined && uid && uid !== live.metadata.uid)
    throw conflict(
      kind.group,
      kind.plural,
      name,
      `StorageError: invalid object, Code: 4, Key: /registry/${kind.group}/${kind.plural}/${name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${uid}, UID in object meta: ${live.metadata.uid}`,
    )
  requireVersion(request, object)
  return update(store, request, live, object)
}

/** Of custom objects an API server wants to know which version a client has seen. */
function requireVersion({ kind, name }: WriteRequest, { metadata }: ApiObject): void {
  const isStrict = kind.custom !== undefined || kind.kind === 'CustomResourceDefinition'
  const { resourceVersion = '' } = metadata
  if (!/^\d*$/.test(resourceVersion))
    throw new StatusError(
      500,
      '',
      `strconv.ParseUint: parsing ${JSON.stringify(resourceVersion)}: invalid syntax`,
    )
  if (!isStrict || !/^0?$/.test(resourceVersion)) return
  throw invalid(kind.group, kind.plural, name, [
    {
      field: 'metadata.resourceVersion',
      reason: 'FieldValueInvalid',
      message: 'Invalid value: 0: must be specified for an update',
    },
  ])
}

function requireName({ name }: WriteRequest, { metadata }: ApiObject): void {
  if (!metadata.name)
    throw badRequest(
      `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
    )
  if (metadata.name !== name)
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`)
}

function refuseOtherNamespace({ namespace }: WriteRequest, { metadata }: ApiObject): void {
  if (namespace !== undefined && metadata.namespace && metadata.namespace !== namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
}

export function patch(store: Store, write: WriteRequest, type: string, body: unknown): ApiObject {
  const request = { ...write, isPatch: true }
  const { kind, namespace } = request
  if (type === 'application/apply-patch+yaml') return apply(store, request, body)
  const live = requireLive(store, request)
  const base = structuredClone(live)
  const object = requireObject(applyPatch(type, base, body, kind.custom !== undefined))
  requireSameKind(request, live, object)
  admit(request, object)
  requireName(request, object)
  if (namespace !== undefined) object.metadata.namespace = namespace
  refuseImmutable(request, live, object)
  return update(store, request, live, object)
}

function requireSameKind({ kind }: WriteRequest, live: ApiObject, object: ApiObject): void {
  for (const field of ['apiVersion', 'kind'] as const)
    if (kind.custom !== undefined && object[field] !== live[field])
      throw invalid(kind.group, object.kind, live.metadata.name, [
        {
          field,
          reason: 'FieldValueInvalid',
          message: `Invalid value: ${JSON.stringify(object[field])}: must be ${live[field]}`,
        },
      ])
}

function apply(store: Store, request: WriteRequest, body: unknown): ApiObject {
  const { kind, namespace, name, force, subresource } = request
  const given = requireObject(requireMap(body))
  if (given.apiVersion !== apiVersion(kind) || given.kind !== kind.kind)
    throw badRequest(`invalid object type: ${groupVersion(given.apiVersion)}, Kind=${given.kind ?? ''}`)
  if (given.metadata.managedFields !== undefined) throw badRequest('metadata.managedFields must be nil')
  if (!given.metadata.name) {
    if (given.metadata.generateName) requireName(request, given)
    given.metadata.name = name
  }
  requireName(request, given)
  refuseOtherNamespace(request, given)
  refuseUndeclared(request, given)
  const wanted = structuredClone(withoutForeignParts(request, given))
  const applied = admit(request, given)
  if (namespace !== undefined) applied.metadata.namespace = namespace
  const live = store.get(resourceKey(kind), keyIn(namespace, name))
  if (live === undefined && subresource !== '') throw notFound(kind.group, kind.plural, name)
  if (live !== undefined) {
    refuseImmutable(request, live, applied)
    const { resourceVersion } = applied.metadata
    if (resourceVersion && resourceVersion !== live.metadata.resourceVersion)
      throw conflict(kind.group, kind.plural, name)
  } else if (namespace !== undefined && store.get('/namespaces', namespace) === undefined)
    throw notFound('', 'namespaces', namespace)
  const writer = { ...writerOf(request), force }
  if (namespace !== undefined) wanted.metadata.namespace = namespace
  const known = live && ownedPart(request, live)
  const merged = applyConfiguration(live, wanted, writer, listsOf(kind), emptyObject(kind), known)
  admit({ ...request, fieldValidation: 'Ignore' }, merged)
  if (live !== undefined) return update(store, { ...request, isApply: true }, live, merged)
  return create(store, { ...request, isApply: true }, merged)
}

function ownedPart(request: WriteRequest, live: ApiObject): ApiObject {
  const { metadata, ...part } = written(request, live)
  return { ...part, metadata: { ...metadata, managedFields: live.metadata.managedFields ?? [] } } as ApiObject
}

function requireMap(body: unknown): unknown {
  if (body === null || body === undefined || body === '') return {}
  if (isObject(body)) return body
  const found = Array.isArray(body) ? 'array' : typeof body
  throw badRequest(
    `error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ${found} into Go value of type map[string]interface {}`,
  )
}

const apiVersion = ({ group, version }: ResourceKind): string =>
  group === '' ? version : `${group}/${version}`
const groupVersion = (text = ''): string => (text.includes('/') ? text : `/${text}`)

/** An apply of the status says nothing of the rest, and the other way round. */
function withoutForeignParts({ subresource, kind }: WriteRequest, applied: ApiObject): ApiObject {
  const { status, ...rest } = applied
  const { apiVersion: version, metadata } = applied
  const { name, namespace, uid, resourceVersion } = metadata
  if (subresource === 'status')
    return JSON.parse(
      JSON.stringify({
        apiVersion: version,
        kind: applied.kind,
        metadata: { name, namespace, uid, resourceVersion },
        status,
      }),
    ) as ApiObject
  return (kind.subresources.includes('status') ? rest : applied) as ApiObject
}

function writerOf({ manager, subresource }: WriteRequest): Writer {
  return { manager, subresource: subresource === '' ? undefined : subresource, time: timestamp(Date.now()) }
}

function requireLive(store: Store, { kind, namespace, name }: WriteRequest): ApiObject {
  const live = store.get(resourceKey(kind), keyIn(namespace, name))
  if (live === undefined) throw notFound(kind.group, kind.plural, name)
  return live
}

function update(store: Store, request: WriteRequest, live: ApiObject, proposed: ApiObject): ApiObject {
  const { kind, name, subresource } = request
  const { resourceVersion, uid } = proposed.metadata
  if (resourceVersion && resourceVersion !== live.metadata.resourceVersion)
    throw conflict(kind.group, kind.plural, name)
  if (uid && uid !== live.metadata.uid) throw conflict(kind.group, kind.plural, name)
  if (subresource === '') fillDefaults(kind, proposed)
  const object = keepImmutable(kind, subresource, live, proposed)
  if (subresource === '' && kind.custom !== undefined && isObject(object.spec))
    applyDefaults(object, kind.custom.schema as Schema)
  if (hasGeneration(kind)) object.metadata.generation = nextGeneration(subresource, live, object)
  restrict(request, 'update', live, object)
  check(request, object, live)
  const { managedFields: sent } = proposed.metadata
  dropEmptyMetadata(object)
  if (!request.isApply) track(request, live, object, sent)
  dropEmptyMetadata(object)
  if (isEqual(withoutVolatile(live), withoutVolatile(object))) return live
  if (request.dryRun) return object
  if (!isFinished(object) || kind.kind === 'Namespace')
    return store.put(resourceKey(kind), keyOf(object), object)
  store.delete(resourceKey(kind), keyOf(object))
  return { ...object, metadata: { ...object.metadata, resourceVersion: live.metadata.resourceVersion ?? '' } }
}

function nextGeneration(subresource: string, live: ApiObject, object: ApiObject): number {
  const isChanged = subresource === '' && !isEqual(withoutMeta(live), withoutMeta(object))
  return (live.metadata.generation ?? 1) + (isChanged ? 1 : 0)
}

/**
 * Who owns which field after an update. A list of owners that the client sends counts, unless it cannot be read; an empty one
 * ends the bookkeeping until somebody applies.
 */
function track(
  request: WriteRequest,
  live: ApiObject,
  object: ApiObject,
  sent: ManagedFields[] | undefined,
): void {
  const isWhole = request.subresource === ''
  const isReset = isWhole && sent?.every((entry) => Object.keys(entry).length === 0)
  const kept = isWhole && sent?.every(isReadable) ? sent : undefined
  const entries = isReset ? [] : (kept ?? live.metadata.managedFields ?? [])
  if (entries.length === 0) delete object.metadata.managedFields
  else
    object.metadata.managedFields = trackUpdate(
      written(request, live),
      written(request, object),
      writerOf(request),
      listsOf(request.kind),
      entries,
    )
}

/** What a write may change: the status alone, or everything else where the status is a subresource. */
function written({ kind, subresource }: WriteRequest, object: ApiObject): ApiObject {
  const { status, ...rest } = object
  const { apiVersion: version, metadata } = object
  if (subresource === 'status')
    return {
      apiVersion: version,
      kind: object.kind,
      metadata: { name: metadata.name },
      ...(status === undefined ? {} : { status }),
    }
  return (kind.subresources.includes('status') ? rest : object) as ApiObject
}

function isReadable({ operation, fieldsType, fieldsV1 }: ManagedFields): boolean {
  return /^(Apply|Update)$/.test(operation) && fieldsType === 'FieldsV1' && isObject(fieldsV1)
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
    if (kind.kind === 'CustomResourceDefinition' && isEqual(proposed.status?.storedVersions, []))
      noteStoredVersion(proposed)
    const { managedFields = live.metadata.managedFields } = proposed.metadata
    const labels = kind.kind === 'Node' ? proposed.metadata.labels : live.metadata.labels
    return withoutUndefined({
      ...live,
      status: proposed.status,
      metadata: { ...live.metadata, managedFields, labels },
    } as ApiObject)
  }
  const object = { ...proposed, metadata: { ...proposed.metadata, ...kept } } as ApiObject
  if (kind.subresources.includes('status')) object.status = live.status as never
  if (kind.kind === 'CustomResourceDefinition') noteStoredVersion(object)
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
