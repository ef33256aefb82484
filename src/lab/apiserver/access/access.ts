import { createHmac, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StatusError } from '../http/status-error.ts'
import type { ApiObject } from '../objects/api-object.ts'
import type { Store } from '../objects/store.ts'
import { nodeOf, nodeVerdict } from './node-authorizer.ts'

export interface User {
  readonly name: string
  readonly uid: string
  readonly groups: readonly string[]
  /** Further facts from the user's credentials. */
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

/** What a request wants to do. A non-resource request has a path instead of a resource. */
export interface Attempt {
  readonly verb: string
  readonly group: string
  readonly resource: string
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  readonly path: string
  /** For a list or a watch. */
  readonly fieldSelector?: string
}

interface Rule {
  readonly verbs: readonly string[]
  readonly apiGroups?: readonly string[]
  readonly resources?: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly nonResourceURLs?: readonly string[]
}

/** The group system:masters has all rights, without any role. */
const everything: readonly Rule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
]

interface Binding extends ApiObject {
  readonly roleRef: { readonly kind: string; readonly name: string }
  readonly subjects?: readonly { readonly kind: string; readonly name: string; readonly namespace?: string }[]
}

interface Decision {
  readonly allowed: boolean
  /** Empty if there is no reason to give. */
  readonly reason: string
}

interface Grant {
  readonly rules: readonly Rule[]
  readonly reason: string
}

/** The signed claims of a token. */
interface Claims {
  readonly jti: string
  readonly sub: string
  readonly uid: string
  readonly exp: number
  readonly pod?: BoundPod
  /** Whom it is for; absent: this server. */
  readonly aud?: readonly string[]
}

interface BoundPod {
  readonly name: string
  readonly uid: string
}

const rbac = 'rbac.authorization.k8s.io'
const credentials = 'authentication.kubernetes.io'

/**
 * Finds out which user sent a request and what the user may do. It reads tokens from a file, like kube-apiserver, and tokens
 * of service accounts.
 */
export class Access {
  readonly #store: Store
  readonly #staticTokens: ReadonlyMap<string, User>
  readonly #key: Buffer

  constructor(store: Store, directory: string, tokenFile: string | undefined) {
    this.#store = store
    this.#staticTokens = new Map(tokenFile === undefined ? [] : readTokenFile(tokenFile))
    const keyFile = join(directory, 'token.key')
    if (!existsSync(keyFile)) writeFileSync(keyFile, randomBytes(32), { mode: 0o600 })
    this.#key = readFileSync(keyFile)
  }

  /** Undefined if the user is unknown. */
  authenticate(authorization: string | undefined, nowMs: number): User | undefined {
    const token = /^Bearer (.+)$/i.exec(authorization ?? '')?.[1]
    if (token === undefined) return undefined
    return this.#staticTokens.get(token) ?? this.#serviceAccountOf(token, nowMs)
  }

  issueToken(
    namespace: string,
    account: ApiObject,
    seconds: number,
    nowMs: number,
    more: { readonly pod?: BoundPod | undefined; readonly audiences?: readonly string[] } = {},
  ): { token: string; expires: string } {
    const expiresMs = nowMs + seconds * 1000
    const claims: Claims = {
      jti: randomUUID(),
      sub: `system:serviceaccount:${namespace}:${account.metadata.name}`,
      uid: account.metadata.uid ?? '',
      exp: Math.floor(expiresMs / 1000),
      ...(more.pod === undefined ? {} : { pod: more.pod }),
      ...(more.audiences === undefined ? {} : { aud: more.audiences }),
    }
    const head = Buffer.from(JSON.stringify({ alg: 'HS256', typ: 'JWT' })).toString('base64url')
    const body = Buffer.from(JSON.stringify(claims)).toString('base64url')
    return {
      token: `${head}.${body}.${this.#sign(`${head}.${body}`)}`,
      expires: new Date(expiresMs).toISOString(),
    }
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64url')
  }

  /**
   * A token is invalid once its account is deleted, or the pod that it was issued for. Another object with the same name has
   * another uid.
   */
  #serviceAccountOf(token: string, nowMs: number): User | undefined {
    const [head, body, signature] = token.split('.')
    if (head === undefined || body === undefined || signature === undefined) return undefined
    const expected = Buffer.from(this.#sign(`${head}.${body}`))
    const given = Buffer.from(signature)
    if (expected.length !== given.length || !timingSafeEqual(expected, given)) return undefined
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Claims
    if (claims.exp * 1000 < nowMs || claims.aud !== undefined) return undefined
    const [, , namespace = '', name = ''] = claims.sub.split(':')
    if (this.#store.get('/serviceaccounts', `${namespace}/${name}`)?.metadata.uid !== claims.uid)
      return undefined
    const { pod } = claims
    if (pod !== undefined && this.#store.get('/pods', `${namespace}/${pod.name}`)?.metadata.uid !== pod.uid)
      return undefined
    return {
      name: claims.sub,
      uid: claims.uid,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      extra: {
        [`${credentials}/credential-id`]: [`JTI=${claims.jti}`],
        ...(pod && { [`${credentials}/pod-name`]: [pod.name], [`${credentials}/pod-uid`]: [pod.uid] }),
      },
    }
  }

  authorize(user: User, attempt: Attempt): void {
    const decision = this.decide(user, attempt)
    if (decision.allowed) return
    const why = decision.reason === '' ? '' : `: ${decision.reason}`
    const { verb, group, resource, subresource, namespace, path } = attempt
    const what = subresource === '' ? resource : `${resource}/${subresource}`
    if (resource === '')
      throw new StatusError(
        403,
        'Forbidden',
        `forbidden: User "${user.name}" cannot ${verb} path "${path}"${why}`,
      )
    const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`
    const full = group === '' ? resource : `${resource}.${group}`
    const named = attempt.name === '' ? full : `${full} "${attempt.name}"`
    throw new StatusError(
      403,
      'Forbidden',
      `${named} is forbidden: User "${user.name}" cannot ${verb} resource "${what}" in API group "${group}" ${where}${why}`,
      {
        ...(attempt.name === '' ? {} : { name: attempt.name }),
        ...(group === '' ? {} : { group }),
        kind: resource,
      },
    )
  }

  allows(user: User, attempt: Attempt): boolean {
    return this.decide(user, attempt).allowed
  }

  /**
   * The decision with its reason, as reviews show it: the binding that grants the right, or the right that a kubelet lacks.
   */
  decide(user: User, attempt: Attempt): Decision {
    if (user.groups.includes('system:masters')) return { allowed: true, reason: '' }
    const node = nodeOf(user)
    const verdict = node === undefined ? undefined : nodeVerdict(this.#store, node, attempt)
    if (verdict === true) return { allowed: true, reason: '' }
    const grant = this.#grantsOf(user, attempt.namespace).find(({ rules }) =>
      rules.some((rule) => permits(rule, attempt)),
    )
    return grant === undefined
      ? { allowed: false, reason: verdict ?? '' }
      : { allowed: true, reason: grant.reason }
  }

  /** The rules of the user's roles, in a namespace and in the cluster. */
  rulesOf(user: User, namespace: string): readonly Rule[] {
    if (user.groups.includes('system:masters')) return everything
    return this.#grantsOf(user, namespace).flatMap(({ rules }) => rules)
  }

  #grantsOf(user: User, namespace: string): Grant[] {
    const bindings = [
      ...this.#store.values(`${rbac}/clusterrolebindings`),
      ...[...this.#store.values(`${rbac}/rolebindings`)].filter(
        ({ metadata }) => metadata.namespace === namespace,
      ),
    ] as Binding[]
    return bindings.flatMap(({ roleRef, metadata, subjects = [] }) => {
      const subject = subjects.find((each) => isSubject(user, each, metadata.namespace))
      if (subject === undefined) return []
      const role =
        roleRef.kind === 'ClusterRole'
          ? this.#store.get(`${rbac}/clusterroles`, roleRef.name)
          : this.#store.get(`${rbac}/roles`, `${metadata.namespace}/${roleRef.name}`)
      const { name, namespace: ofBinding } = metadata
      const binding =
        ofBinding === undefined ? `ClusterRoleBinding "${name}"` : `RoleBinding "${name}/${ofBinding}"`
      const whom =
        subject.kind === 'ServiceAccount'
          ? `"${subject.name}/${subject.namespace ?? ofBinding}"`
          : `"${subject.name}"`
      const reason = `RBAC: allowed by ${binding} of ${roleRef.kind} "${roleRef.name}" to ${subject.kind} ${whom}`
      return [{ rules: (role?.rules ?? []) as Rule[], reason }]
    })
  }
}

function isSubject(
  user: User,
  subject: { kind: string; name: string; namespace?: string },
  namespace: string | undefined,
): boolean {
  if (subject.kind === 'User') return subject.name === user.name
  if (subject.kind === 'Group') return user.groups.includes(subject.name)
  return user.name === `system:serviceaccount:${subject.namespace ?? namespace}:${subject.name}`
}

function permits(rule: Rule, attempt: Attempt): boolean {
  const has = (list: readonly string[] | undefined, value: string): boolean =>
    list?.includes('*') || list?.includes(value) || false
  if (!has(rule.verbs, attempt.verb)) return false
  if (attempt.resource === '')
    return (rule.nonResourceURLs ?? []).some((url) =>
      url.endsWith('*') ? attempt.path.startsWith(url.slice(0, -1)) : url === attempt.path,
    )
  const resource =
    attempt.subresource === '' ? attempt.resource : `${attempt.resource}/${attempt.subresource}`
  const isNamed =
    rule.resourceNames === undefined ||
    rule.resourceNames.length === 0 ||
    rule.resourceNames.includes(attempt.name)
  return (
    has(rule.apiGroups, attempt.group) &&
    isNamed &&
    (has(rule.resources, resource) || (rule.resources ?? []).includes(`*/${attempt.subresource}`))
  )
}

/** token,user,uid,"group1,group2" */
export function readTokenFile(path: string): (readonly [string, User])[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [token = '', name = '', uid = ''] = line.split(',')
      const groups = /"([^"]*)"/.exec(line)?.[1]?.split(',') ?? []
      return [token, { name, uid, groups: [...groups, 'system:authenticated'] }]
    })
}
