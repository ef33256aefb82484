import { timestamp } from '../../../../runtime/timestamp.ts'
import type { User } from '../../access/access.ts'
import { restrictNode } from '../../access/node-restriction.ts'
import { badRequest, notFound } from '../../http/status-error.ts'
import type { ApiObject } from '../api-object.ts'
import type { Writer } from '../ownership/field-ownership.ts'
import { type ResourceKind, resourceKey } from '../resources.ts'
import type { Store } from '../store.ts'

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

export const keyIn = (namespace: string | undefined, name: string): string =>
  namespace === undefined ? name : `${namespace}/${name}`

export function requireName({ name }: WriteRequest, { metadata }: ApiObject): void {
  if (!metadata.name)
    throw badRequest(
      `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
    )
  if (metadata.name !== name)
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`)
}

export function refuseOtherNamespace({ namespace }: WriteRequest, { metadata }: ApiObject): void {
  if (namespace !== undefined && metadata.namespace && metadata.namespace !== namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
}

export function requireLive(store: Store, { kind, namespace, name }: WriteRequest): ApiObject {
  const live = store.get(resourceKey(kind), keyIn(namespace, name))
  if (live === undefined) throw notFound(kind.group, kind.plural, name)
  return live
}

export function writerOf({ manager, subresource }: WriteRequest): Writer {
  return { manager, subresource: subresource === '' ? undefined : subresource, time: timestamp(Date.now()) }
}

/** What a write may change: the status alone, or everything else where the status is a subresource. */
export function written({ kind, subresource }: WriteRequest, object: ApiObject): ApiObject {
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

export function restrict(
  { kind, user, subresource }: WriteRequest,
  verb: 'create' | 'update',
  live: ApiObject | undefined,
  object: ApiObject,
): void {
  if (user !== undefined) restrictNode(user, { kind, subresource, verb, live, object })
}
