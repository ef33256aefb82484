import { requireObject } from '../../http/request.ts'
import { invalid } from '../../http/status-error.ts'
import type { ApiObject } from '../api-object.ts'
import type { Store } from '../store.ts'
import { admit, refuseImmutable } from './admit.ts'
import { apply } from './apply.ts'
import { applyPatch } from './patches.ts'
import { update } from './update.ts'
import { requireLive, requireName, type WriteRequest } from './write-request.ts'

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
