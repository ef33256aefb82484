import type { User } from '../apiserver/access/access.ts'

/**
 * The identity with which the relay forwards a request.
 *
 * `caller`: unchanged, over a connection without a client certificate. An API server prefers a connection's certificate over a token, so
 * a certificate would give every caller the rights of the kubeconfig's user.
 * `kubeconfig`: as the user who joined the cluster. `node`: as that user, impersonating a node.
 */
export type Credentials =
  | { readonly as: 'caller' }
  | { readonly as: 'kubeconfig' }
  | { readonly as: 'node'; readonly user: string; readonly groups: readonly string[] }

export const nodesGroup = 'system:nodes'

/**
 * Only a token that the lab itself issued gets the rights of the kubeconfig. The joined API server decides about every other token, and
 * about requests without one.
 */
export function credentialsFor(
  authorization: readonly string[] | undefined,
  labTokens: ReadonlyMap<string, User>,
  mayImpersonate: boolean,
): Credentials {
  if (authorization?.length !== 1) return { as: 'caller' }
  const token = /^Bearer (.+)$/i.exec(authorization[0] ?? '')?.[1]
  const user = token === undefined ? undefined : labTokens.get(token)
  if (user === undefined) return { as: 'caller' }
  if (!user.groups.includes(nodesGroup) || !mayImpersonate) return { as: 'kubeconfig' }
  return { as: 'node', user: user.name, groups: [nodesGroup] }
}

export type Headers = Readonly<Record<string, readonly string[] | undefined>>

/** Headers of a single hop, which are not forwarded (RFC 9110, section 7.6.1). `host` names the next hop. */
const hopByHop = ['connection', 'host', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade']

/** Headers by which a trusted front proxy names the user. Callers of the relay are not front proxies. */
const frontProxyHeaders = /^x-remote-/

/** `isUpgrade`: the request upgrades the connection, so the headers about the upgrade are forwarded. */
export function forwardedHeaders(headers: Headers, isUpgrade: boolean): Record<string, string[]> {
  const isKept = (name: string): boolean => {
    if (frontProxyHeaders.test(name)) return false
    if (isUpgrade && (name === 'connection' || name === 'upgrade')) return true
    return !hopByHop.includes(name)
  }
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, values]) =>
      values !== undefined && isKept(name) ? [[name, [...values]]] : [],
    ),
  )
}

/** `ownToken` is the token of the kubeconfig. Undefined if its user has a client certificate. */
export function withCredentials(
  headers: Readonly<Record<string, string[]>>,
  credentials: Credentials,
  ownToken: string | undefined,
): Record<string, string[]> {
  if (credentials.as === 'caller') return { ...headers }
  const own = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'))
  if (ownToken !== undefined) own.authorization = [`Bearer ${ownToken}`]
  if (credentials.as === 'kubeconfig') return own
  /* A kubelet acts as its node only, so its own impersonation headers are removed. */
  const asItself = Object.entries(own).filter(([name]) => !name.startsWith('impersonate-'))
  return {
    ...Object.fromEntries(asItself),
    'impersonate-user': [credentials.user],
    'impersonate-group': [...credentials.groups],
  }
}
