import { timestamp } from '../../../runtime/timestamp.ts'
import { type FieldIssue, invalid, StatusError } from '../http/status-error.ts'
import { isObject, type JsonObject } from '../objects/api-object.ts'
import { defaultAudience } from '../objects/token-request.ts'
import { wrong } from '../schema/field-issues.ts'
import type { Access, User } from './access.ts'

export const reviewPaths = {
  subject: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
  access: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
  rules: '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews',
  other: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
  token: '/apis/authentication.k8s.io/v1/tokenreviews',
} as const

function userInfo({ name: username, uid, groups, extra }: User): object {
  return { username, ...(uid === '' ? {} : { uid }), groups, ...(extra && { extra }) }
}

/** Answers a SelfSubjectReview: which user am I? */
export function reviewSubject(user: User): object {
  return {
    kind: 'SelfSubjectReview',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { creationTimestamp: timestamp(Date.now()) },
    status: { userInfo: userInfo(user) },
  }
}

function part(of: unknown, name: string): JsonObject {
  const value = isObject(of) ? of[name] : undefined
  return isObject(value) ? value : {}
}

/** Answers a SelfSubjectRulesReview: what may I do? */
export function reviewRules(access: Access, user: User, body: unknown): object {
  const spec = part(body, 'spec')
  const rules = access.rulesOf(user, String(spec.namespace ?? ''))
  return {
    kind: 'SelfSubjectRulesReview',
    apiVersion: 'authorization.k8s.io/v1',
    metadata: {},
    spec: {},
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
  return {
    kind: 'SelfSubjectAccessReview',
    apiVersion: 'authorization.k8s.io/v1',
    metadata: {},
    spec,
    status: statusOf(access, user, spec),
  }
}

/** Answers a SubjectAccessReview: may this user do this? With `namespace`, it answers a LocalSubjectAccessReview. */
export function reviewOther(access: Access, body: unknown, namespace?: string): object {
  const spec = part(body, 'spec')
  const groups = Array.isArray(spec.groups) ? spec.groups.map(String) : []
  const name = typeof spec.user === 'string' ? spec.user : ''
  if (name === '' && groups.length === 0)
    throw invalidReview(wrong('spec.user', '', 'at least one of user or group must be specified'))
  return {
    kind: namespace === undefined ? 'SubjectAccessReview' : 'LocalSubjectAccessReview',
    apiVersion: 'authorization.k8s.io/v1',
    metadata: namespace === undefined ? {} : { namespace },
    spec,
    status: statusOf(access, { name, uid: '', groups }, spec),
  }
}

/** An error message quotes the request with the field names of Go. */
function goNames(object: JsonObject): JsonObject {
  const named = Object.entries(object).map(([key, value]) => [
    key.charAt(0).toUpperCase() + key.slice(1),
    value,
  ])
  return Object.fromEntries(named)
}

const invalidReview = (issue: FieldIssue): StatusError => {
  const error = invalid('authorization.k8s.io', '', '', [issue])
  const { kind: _, name: __, ...details } = error.details ?? {}
  return new StatusError(error.code, error.reason, error.message, details)
}

function statusOf(access: Access, user: User, spec: JsonObject): object {
  const { resourceAttributes, nonResourceAttributes } = spec
  if (resourceAttributes && nonResourceAttributes) {
    const why = 'cannot be specified in combination with resourceAttributes'
    throw invalidReview(
      wrong('spec.nonResourceAttributes', goNames(part(spec, 'nonResourceAttributes')), why),
    )
  }
  if (!resourceAttributes && !nonResourceAttributes)
    throw invalidReview(
      wrong(
        'spec.resourceAttributes',
        null,
        'exactly one of nonResourceAttributes or resourceAttributes must be specified',
      ),
    )
  const [resource, path] = [part(spec, 'resourceAttributes'), part(spec, 'nonResourceAttributes')]
  const text = (field: string): string => String(resource[field] ?? path[field] ?? '')
  const { allowed, reason } = access.decide(user, {
    verb: text('verb'),
    group: text('group'),
    resource: text('resource'),
    subresource: text('subresource'),
    namespace: text('namespace'),
    name: text('name'),
    path: text('path'),
  })
  return { allowed, ...(reason === '' ? {} : { reason }) }
}

/** The namespace in the path `…/namespaces/NAME/localsubjectaccessreviews`. Undefined for any other path. */
export function localReviewIn(path: string): string | undefined {
  return /^\/apis\/authorization\.k8s\.io\/v1\/namespaces\/([^/]+)\/localsubjectaccessreviews$/.exec(
    path,
  )?.[1]
}

/** Answers a TokenReview: which user has this token? */
export function reviewToken(access: Access, body: unknown, nowMs: number): object {
  const spec = part(body, 'spec')
  const user = access.authenticate(`Bearer ${String(spec.token ?? '')}`, nowMs)
  return {
    kind: 'TokenReview',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: {},
    spec,
    status:
      user === undefined
        ? { user: {}, error: 'invalid bearer token' }
        : { authenticated: true, user: userInfo(user), audiences: [defaultAudience] },
  }
}
