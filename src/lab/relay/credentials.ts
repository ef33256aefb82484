import type { User } from '../apiserver/access/access.ts'

/**
 * As whom a request is forwarded.
 *
 * `caller`: as it came, over a connection that proves nothing. A client certificate there would answer for whoever
 * speaks: the server believes the certificate first, and looks at the token only where there is none.
 * `kubeconfig`: as the person who joined the cluster. `node`: the same, speaking for a node, with a node's rights.
 */
export type Credentials =
  | { readonly as: 'caller' }
  | { readonly as: 'kubeconfig' }
  | { readonly as: 'node'; readonly user: string; readonly groups: readonly string[] }

export const nodesGroup = 'system:nodes'

/**
 * Only a token that the lab itself gave out stands for the kubeconfig's rights. Everything else, no token at all
 * included, is the joined server's to judge.
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

/** Between two hops, not between the ends (RFC 9110, 7.6.1). `host` is the next hop's name. */
const ofOneHop = ['connection', 'host', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade']

/** A server that trusts its front proxy believes these; what speaks through the relay is none. */
const ofFrontProxies = /^x-remote-/

/** `isUpgrade`: the connection itself is what is asked for, and what says so goes along. */
export function forwardedHeaders(headers: Headers, isUpgrade: boolean): Record<string, string[]> {
  const isKept = (name: string): boolean => {
    if (ofFrontProxies.test(name)) return false
    if (isUpgrade && (name === 'connection' || name === 'upgrade')) return true
    return !ofOneHop.includes(name)
  }
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, values]) =>
      values !== undefined && isKept(name) ? [[name, [...values]]] : [],
    ),
  )
}

/** `ownToken` is the kubeconfig's; undefined where a client certificate stands for its user. */
export function withCredentials(
  headers: Readonly<Record<string, string[]>>,
  credentials: Credentials,
  ownToken: string | undefined,
): Record<string, string[]> {
  if (credentials.as === 'caller') return { ...headers }
  const own = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'))
  if (ownToken !== undefined) own.authorization = [`Bearer ${ownToken}`]
  if (credentials.as === 'kubeconfig') return own
  /* A kubelet is its node and nobody else, whatever it says. */
  const asItself = Object.entries(own).filter(([name]) => !name.startsWith('impersonate-'))
  return {
    ...Object.fromEntries(asItself),
    'impersonate-user': [credentials.user],
    'impersonate-group': [...credentials.groups],
  }
}
