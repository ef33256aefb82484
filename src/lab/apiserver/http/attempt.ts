import type { Attempt } from '../access/access.ts'
import type { Target } from './request.ts'

const verbsByMethod: Readonly<Record<string, string>> = {
  GET: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
}

const onCollections: Readonly<Record<string, string>> = { get: 'list', delete: 'deletecollection' }

/** Any value except `false` and `0` means true, as in apimachinery. */
export function isWatch({ searchParams }: URL): boolean {
  const watch = searchParams.get('watch')
  return watch !== null && !['false', '0'].includes(watch)
}

/** The verb that a role must grant for this request. */
export function attemptOf(
  method: string,
  url: URL,
  { kind, namespace = '', name = '', subresource }: Target,
): Attempt {
  const single = verbsByMethod[method] ?? method.toLowerCase()
  const several = single === 'get' && isWatch(url) ? 'watch' : (onCollections[single] ?? single)
  const verb = name === '' ? several : single
  const selector = verb === 'list' || verb === 'watch' ? url.searchParams.get('fieldSelector') : null
  /* A list that selects one name asks for that object. */
  const selected = /^metadata\.name=([^,]+)$/.exec(selector ?? '')?.[1] ?? ''
  return {
    verb,
    group: kind.group,
    resource: kind.plural,
    subresource,
    namespace,
    name: name === '' ? selected : name,
    path: url.pathname,
    ...(selector === null ? {} : { fieldSelector: selector }),
  }
}

export function pathAttempt(method: string, path: string): Attempt {
  const verb = verbsByMethod[method] ?? 'get'
  return { verb, group: '', resource: '', subresource: '', namespace: '', name: '', path }
}

/** The attempt for a resource that is not served. A user without the right to it learns only that the right is missing. */
export function attemptAt(method: string, path: string): Attempt {
  const match =
    /^\/(?:api|apis\/([^/]+))\/[^/]+(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(
      path,
    )
  if (match === null) return pathAttempt(method, path)
  const [, group = '', namespace = '', resource = '', name = '', subresource = ''] = match
  const single = verbsByMethod[method] ?? method.toLowerCase()
  const verb = name === '' ? (onCollections[single] ?? single) : single
  return { verb, group, resource, subresource, namespace, name, path }
}
