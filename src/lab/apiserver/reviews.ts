import type { Access, User } from './access.ts'
import { isObject, type JsonObject } from './api-object.ts'

export const reviewPaths = {
  subject: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
  access: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
  rules: '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews',
} as const

/** Who am I? */
export function reviewSubject({ name: username, uid, groups }: User): object {
  return {
    kind: 'SelfSubjectReview',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: {},
    status: { userInfo: { username, uid, groups } },
  }
}

function part(of: unknown, name: string): JsonObject {
  const value = isObject(of) ? of[name] : undefined
  return isObject(value) ? value : {}
}

/** What may I? */
export function reviewRules(access: Access, user: User, body: unknown): object {
  const spec = part(body, 'spec')
  const rules = access.rulesOf(user, String(spec.namespace ?? ''))
  return {
    kind: 'SelfSubjectRulesReview',
    apiVersion: 'authorization.k8s.io/v1',
    metadata: {},
    spec,
    status: {
      resourceRules: rules.filter(({ resources }) => resources !== undefined),
      nonResourceRules: rules.filter(({ nonResourceURLs }) => nonResourceURLs !== undefined),
      incomplete: false,
    },
  }
}

/** May I? */
export function reviewAccess(access: Access, user: User, body: unknown): object {
  const spec = part(body, 'spec')
  const [resource, path] = [part(spec, 'resourceAttributes'), part(spec, 'nonResourceAttributes')]
  const text = (field: string): string => String(resource[field] ?? path[field] ?? '')
  const allowed = access.allows(user, {
    verb: text('verb'),
    group: text('group'),
    resource: text('resource'),
    subresource: text('subresource'),
    namespace: text('namespace'),
    name: text('name'),
    path: text('path'),
  })
  return {
    kind: 'SelfSubjectAccessReview',
    apiVersion: 'authorization.k8s.io/v1',
    metadata: {},
    spec,
    status: { allowed },
  }
}
