import { requireObject } from '../../http/request.ts'
import { badRequest, conflict, notFound } from '../../http/status-error.ts'
import { type ApiObject, isObject } from '../api-object.ts'
import { applyConfiguration } from '../ownership/field-ownership.ts'
import { listsOf } from '../ownership/list-merging.ts'
import { type ResourceKind, resourceKey } from '../resources.ts'
import type { Store } from '../store.ts'
import { admit, refuseImmutable, refuseUndeclared } from './admit.ts'
import { create } from './create.ts'
import { emptyObject } from './empty-objects.ts'
import { update } from './update.ts'
import {
  keyIn,
  refuseOtherNamespace,
  requireName,
  type WriteRequest,
  writerOf,
  written,
} from './write-request.ts'

export function apply(store: Store, request: WriteRequest, body: unknown): ApiObject {
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

/** An apply of the status changes only the status. Any other apply does not change it. */
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
