import { badRequest } from '../http/status-error.ts'
import type { Access, Attempt, User } from './access.ts'

/**
 * The user whose rights count for a request: its sender, or a user that the sender may impersonate. As in Kubernetes, each
 * name and each group is a right of its own.
 */
export function actingAs(access: Access, user: User, headers: NodeJS.Dict<string[]>): User {
  const [name] = headers['impersonate-user'] ?? []
  const groups = headers['impersonate-group'] ?? []
  if (name === undefined) {
    if (groups.length > 0) throw badRequest('requested groups without impersonating a user')
    return user
  }
  const [, account] = /^system:serviceaccount:([^:]+:[^:]+)$/.exec(name) ?? []
  const [namespace = '', accountName = ''] = account?.split(':') ?? []
  access.authorize(
    user,
    account === undefined ? toBe('users', name) : { ...toBe('serviceaccounts', accountName), namespace },
  )
  for (const group of groups) access.authorize(user, toBe('groups', group))
  const ofAccounts =
    account === undefined ? [] : ['system:serviceaccounts', `system:serviceaccounts:${namespace}`]
  return {
    name,
    uid: '',
    groups: [...(groups.length > 0 ? groups : ofAccounts), 'system:authenticated'],
  }
}

function toBe(resource: string, name: string): Attempt {
  return { verb: 'impersonate', group: '', resource, subresource: '', namespace: '', name, path: '' }
}
