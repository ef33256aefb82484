import type { Access } from './access.ts'
import type { ApiObject, JsonObject } from './api-object.ts'
import { isObject } from './api-object.ts'
import { mayEvict } from './disruption.ts'
import type { Lifecycle } from './lifecycle.ts'
import { parseDeleteOptions, type Target } from './request.ts'
import { badRequest, conflict, StatusError } from './status-error.ts'
import { keyOf, type Store } from './store.ts'
import { issueToken } from './token-request.ts'

const success = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' }

/** What is created below an object and is not kept: a token, a pod's place, its eviction. */
export function act(
  store: Store,
  lifecycle: Lifecycle,
  access: Access,
  target: Target,
  object: ApiObject,
  body: unknown,
  url: URL,
): object {
  const given = isObject(body) ? body : {}
  switch (target.subresource) {
    case 'token':
      return issueToken(store, access, object, given)
    case 'binding':
      return bind(store, object, isObject(given.target) ? given.target : {})
    case 'eviction': {
      const options = parseDeleteOptions(given.deleteOptions, url)
      if (!mayEvict(store, object))
        throw new StatusError(
          429,
          'TooManyRequests',
          `Cannot evict pod as it would violate the pod's disruption budget.`,
        )
      lifecycle.delete('/pods', object, options)
      return success
    }
    default:
      throw badRequest(
        `${target.subresource} is not something to be created here; exec and attach need a WebSocket (kubectl 1.30 or later)`,
      )
  }
}

function bind(store: Store, pod: ApiObject, { name }: JsonObject): object {
  if (typeof name !== 'string' || name === '') throw badRequest('target.name: Required value')
  if (pod.spec?.nodeName || pod.metadata.deletionTimestamp !== undefined)
    throw conflict('', 'pods', pod.metadata.name)
  store.put('/pods', keyOf(pod), { ...pod, spec: { ...pod.spec, nodeName: name } })
  return success
}
