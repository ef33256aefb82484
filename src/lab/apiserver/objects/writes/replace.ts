import { requireObject } from '../../http/request.ts'
import { conflict, invalid, StatusError } from '../../http/status-error.ts'
import type { ApiObject } from '../api-object.ts'
import type { Store } from '../store.ts'
import { admit } from './admit.ts'
import { update } from './update.ts'
import { refuseOtherNamespace, requireLive, requireName, type WriteRequest } from './write-request.ts'

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
