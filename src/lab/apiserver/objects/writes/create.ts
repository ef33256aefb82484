import { timestamp } from '../../../../runtime/timestamp.ts'
import { requireObject } from '../../http/request.ts'
import { alreadyExists, notFound, StatusError } from '../../http/status-error.ts'
import type { ApiObject } from '../api-object.ts'
import { trackUpdate } from '../ownership/field-ownership.ts'
import { listsOf } from '../ownership/list-merging.ts'
import { admitPod } from '../pods/pod-admission.ts'
import { hasGeneration, type ResourceKind, resourceKey } from '../resources.ts'
import { generatedBase } from '../rules/object-metadata.ts'
import { keyOf, type Store } from '../store.ts'
import { admit, check, dropEmptyMetadata } from './admit.ts'
import { fillDefaults } from './defaults.ts'
import { emptyObject } from './empty-objects.ts'
import { randomSuffix } from './random-suffix.ts'
import { refuseOtherNamespace, restrict, type WriteRequest, writerOf, written } from './write-request.ts'

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
  /* The creator of a pod owns the fields that it sent, and not those that admission adds. */
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
