import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import type { ClusterAccess } from '../../kube/access.ts'

/** One context of a kubeconfig, with the contents of its files. The lab stores it for the relay. */
export interface JoinedAccess {
  /** https://host:port, possibly with a path, without a slash at the end. */
  readonly server: string
  /** PEM. By default, the root certificates of the machine. */
  readonly ca?: string
  readonly skipsTlsVerify?: boolean
  readonly tlsServerName?: string
  readonly token?: string
  /** Read for every request, because such tokens rotate. */
  readonly tokenFile?: string
  readonly clientCertificate?: { readonly cert: string; readonly key: string }
}

type Fields = Readonly<Record<string, unknown>>

/** Fields that the relay does not support. To ignore them would mean another user, or another server. */
const unsupported: readonly (readonly [part: 'cluster' | 'user', field: string, advice: string])[] = [
  [
    'user',
    'exec',
    'the relay does not run credential plugins, so create a kubeconfig with a token (kubectl create token …)',
  ],
  ['user', 'auth-provider', 'the relay does not support auth providers, so create a kubeconfig with a token'],
  ['user', 'username', 'Kubernetes does not support passwords any more, so create a kubeconfig with a token'],
  ['user', 'as', 'the relay itself impersonates nodes, so use a user without impersonation'],
  [
    'cluster',
    'proxy-url',
    'the relay does not use a proxy, so set a server that this machine reaches directly',
  ],
]

/** Also reads the files that the kubeconfig names, relative to its folder. `context` is its current context by default. */
export function parseKubeconfig(
  text: string,
  path: string,
  context?: string,
): { readonly access: JoinedAccess } | { readonly issues: readonly string[] } {
  const config = fieldsOf(parse(text))
  const chosen = context ?? String(config['current-context'] ?? '')
  const find = (list: string, name: unknown, part: string): Fields | undefined => {
    const entries = (Array.isArray(config[list]) ? config[list] : []).map(fieldsOf)
    const found = entries.find((entry) => entry.name === name)
    return found && fieldsOf(found[part])
  }
  const pair = find('contexts', chosen, 'context')
  if (pair === undefined)
    return {
      issues: [chosen === '' ? 'it has no current context: give --context' : `it has no context ${chosen}`],
    }
  const [cluster, user] = [find('clusters', pair.cluster, 'cluster'), find('users', pair.user, 'user')]
  if (cluster === undefined || user === undefined)
    return { issues: [`its context ${chosen} names a cluster or a user that it does not define`] }
  const issues = unsupported
    .filter(([part, field]) => (part === 'cluster' ? cluster : user)[field] !== undefined)
    .map(([part, field, advice]) => `its ${part} has ${field}: ${advice}`)
  /* With plain HTTP, as from kubectl proxy, every sender has the same rights. */
  if (!/^https:\/\//.test(String(cluster.server ?? '')))
    issues.push('its server does not begin with https://')
  return issues.length > 0 ? { issues } : readAccess(cluster, user, dirname(path))
}

function readAccess(
  cluster: Fields,
  user: Fields,
  directory: string,
): { readonly access: JoinedAccess } | { readonly issues: readonly string[] } {
  const pem = (of: Fields, name: string): string | undefined => {
    const [data, file] = [of[`${name}-data`], of[name]]
    if (typeof data === 'string') return Buffer.from(data, 'base64').toString('utf8')
    return typeof file === 'string' ? readFileSync(resolve(directory, file), 'utf8') : undefined
  }
  const ca = pem(cluster, 'certificate-authority')
  const [cert, key] = [pem(user, 'client-certificate'), pem(user, 'client-key')]
  const { token, tokenFile } = user
  if (token === undefined && tokenFile === undefined && (cert === undefined || key === undefined))
    return { issues: ['its user has neither a token nor a client certificate with its key'] }
  return {
    access: {
      server: String(cluster.server).replace(/\/+$/, ''),
      ...(ca === undefined ? {} : { ca }),
      ...(cluster['insecure-skip-tls-verify'] === true ? { skipsTlsVerify: true } : {}),
      ...(typeof cluster['tls-server-name'] === 'string'
        ? { tlsServerName: cluster['tls-server-name'] }
        : {}),
      ...(typeof token === 'string' ? { token } : {}),
      ...(typeof tokenFile === 'string' ? { tokenFile: resolve(directory, tokenFile) } : {}),
      ...(cert === undefined || key === undefined ? {} : { clientCertificate: { cert, key } }),
    },
  }
}

/** Like in every client of Kubernetes, a token file wins over an inline token. */
export function tokenOf({ token, tokenFile }: JoinedAccess): string | undefined {
  return tokenFile === undefined ? token : readFileSync(tokenFile, 'utf8').trim()
}

export function clusterAccessOf(joined: JoinedAccess): ClusterAccess {
  const { server, ca, skipsTlsVerify, tlsServerName, clientCertificate } = joined
  return {
    server,
    token: () => tokenOf(joined),
    ...(ca === undefined ? {} : { ca }),
    ...(skipsTlsVerify ? { skipsTlsVerify } : {}),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
    ...(clientCertificate === undefined ? {} : { clientCertificate }),
  }
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}
