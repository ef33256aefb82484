import type { ApiObject } from '../../objects/api-object.ts'
import { resourceKey } from '../../objects/resources.ts'
import type { Store } from '../../objects/store.ts'
import type { Target } from '../request.ts'
import { notFound, StatusError } from '../status-error.ts'

/** The key of a target in the store. */
export const keyOfTarget = ({ namespace, name = '' }: Target): string =>
  namespace === undefined ? name : `${namespace}/${name}`

/** Throws NotFound if there is no such object. */
export function requireTarget(store: Store, target: Target): ApiObject {
  const object = store.get(resourceKey(target.kind), keyOfTarget(target))
  if (object === undefined) throw notFound(target.kind.group, target.kind.plural, target.name ?? '')
  return object
}

export function notSupported(verb: string, { kind: { group, plural } }: Target): StatusError {
  const qualified = group === '' ? plural : `${plural}.${group}`
  return new StatusError(
    405,
    'MethodNotAllowed',
    `${verb} is not supported on resources of kind "${qualified}"`,
    { group, kind: plural },
  )
}
