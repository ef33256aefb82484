import { restrictDeletion } from '../../access/node-restriction.ts'
import type { ApiObject } from '../../objects/api-object.ts'
import { type ResourceKind, resourceKey } from '../../objects/resources.ts'
import { keyOf } from '../../objects/store.ts'
import type { Call, ObjectCall } from '../call.ts'
import { encodeObject, send, sendText } from '../encoding.ts'
import { parseDeleteOptions, readBody } from '../request.ts'
import { StatusError } from '../status-error.ts'
import { predicateOf, sendObjects } from './listing.ts'
import { keyOfTarget, notSupported, requireTarget } from './target-object.ts'

const success = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' }

/** The answer to a deletion of these kinds is the object as it was. For all others it is a Status. */
const returnedKinds = new Set(['Pod', 'ServiceAccount', 'Service'])

export async function deleteObject({ cluster, request, response, url, target }: ObjectCall): Promise<void> {
  const options = parseDeleteOptions(await readBody(request), url)
  if (target.subresource !== '') throw notSupported('delete', target)
  const { store, lifecycle } = cluster
  const { kind } = target
  const object = requireTarget(store, target)
  const { name, uid } = object.metadata
  requirePreconditions(kind, object, options)
  if (target.user !== undefined) restrictDeletion(store, target.user, kind, keyOfTarget(target))
  const deleted = lifecycle.delete(resourceKey(kind), object, options)
  const isKept = !options.dryRun && store.get(resourceKey(kind), keyOf(object)) !== undefined
  if (isKept || returnedKinds.has(kind.kind)) return sendText(response, 200, encodeObject(deleted))
  const details = { name, ...(kind.group === '' ? {} : { group: kind.group }), kind: kind.plural, uid }
  send(response, 200, { ...success, details })
}

export async function deleteCollection({ cluster, request, response, url, target }: Call): Promise<void> {
  const { store, lifecycle } = cluster
  const { kind } = target
  const matches = predicateOf(url, target)
  const options = parseDeleteOptions(await readBody(request), url)
  const objects = store.list(resourceKey(kind)).filter(matches)
  const items = objects.map((object) => {
    const deleted = lifecycle.delete(resourceKey(kind), object, options)
    return store.get(resourceKey(kind), keyOf(object)) === undefined ? object : deleted
  })
  sendObjects(response, store, kind, options.dryRun ? objects : items)
}

function requirePreconditions(
  { group, plural, kind }: ResourceKind,
  { metadata }: ApiObject,
  { uid, resourceVersion }: ReturnType<typeof parseDeleteOptions>,
): void {
  const refuse = (what: string, wanted: string, found: string | undefined, might: string): never => {
    const qualified = group === '' ? kind : `${kind}.${group}`
    throw new StatusError(
      409,
      'Conflict',
      `Operation cannot be fulfilled on ${qualified} "${metadata.name}": the ${what} in the precondition (${wanted}) does not match the ${what} in record (${found}). The object might have been ${might}`,
      { name: metadata.name, group, kind: kind || plural },
    )
  }
  if (uid !== undefined && uid !== metadata.uid)
    refuse('UID', uid, metadata.uid, 'deleted and then recreated')
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion)
    refuse('ResourceVersion', resourceVersion, metadata.resourceVersion, 'modified')
}
