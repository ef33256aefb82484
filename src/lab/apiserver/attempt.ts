import type { Attempt } from './access.ts'
import type { Target } from './request.ts'

const verbsByMethod: Readonly<Record<string, string>> = {
  GET: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
}

const onCollections: Readonly<Record<string, string>> = { get: 'list', delete: 'deletecollection' }

export function isWatch({ searchParams }: URL): boolean {
  return ['true', '1'].includes(searchParams.get('watch') ?? '')
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
  return { verb, group: kind.group, resource: kind.plural, subresource, namespace, name, path: url.pathname }
}

export function pathAttempt(method: string, path: string): Attempt {
  const verb = verbsByMethod[method] ?? 'get'
  return { verb, group: '', resource: '', subresource: '', namespace: '', name: '', path }
}
