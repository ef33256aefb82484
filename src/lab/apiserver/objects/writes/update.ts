import { conflict } from '../../http/status-error.ts'
import { applyDefaults, type Schema } from '../../schema/schema.ts'
import { type ApiObject, isEqual, isObject, type ManagedFields } from '../api-object.ts'
import { isFinished } from '../lifecycle.ts'
import { trackUpdate } from '../ownership/field-ownership.ts'
import { listsOf } from '../ownership/list-merging.ts'
import { hasGeneration, type ResourceKind, resourceKey } from '../resources.ts'
import { keyOf, type Store } from '../store.ts'
import { check, dropEmptyMetadata } from './admit.ts'
import { fillDefaults, noteStoredVersion } from './defaults.ts'
import { restrict, type WriteRequest, writerOf, written } from './write-request.ts'

export function update(store: Store, request: WriteRequest, live: ApiObject, proposed: ApiObject): ApiObject {
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

function isReadable({ operation, fieldsType, fieldsV1 }: ManagedFields): boolean {
  return /^(Apply|Update)$/.test(operation) && fieldsType === 'FieldsV1' && isObject(fieldsV1)
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
