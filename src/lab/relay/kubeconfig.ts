import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import type { ClusterAccess } from '../../kube/access.ts'

/** What a kubeconfig says of one context, with what its files held: all that the relay needs, and kept by the lab. */
export interface JoinedAccess {
  /** https://host:port, and a path where the server is behind one; without a slash at the end. */
  readonly server: string
  /** PEM; without one, the machine's own roots. */
  readonly ca?: string
  readonly skipsTlsVerify?: boolean
  readonly tlsServerName?: string
  readonly token?: string
  /** Read with every request: such tokens rotate. */
  readonly tokenFile?: string
  readonly clientCertificate?: { readonly cert: string; readonly key: string }
}

type Fields = Readonly<Record<string, unknown>>

/** What a kubeconfig may hold and the relay cannot honour; each would otherwise be a right or a route that is not there. */
const refused: readonly (readonly [part: 'cluster' | 'user', field: string, advice: string])[] = [
  [
    'user',
    'exec',
    'the relay runs no credential plugins: make a kubeconfig with a token (kubectl create token …)',
  ],
  ['user', 'auth-provider', 'the relay knows no auth providers: make a kubeconfig with a token'],
  ['user', 'username', 'Kubernetes has given up passwords: make a kubeconfig with a token'],
  ['user', 'as', 'impersonation is what the relay itself does for kubelets: name a user who acts as itself'],
  ['cluster', 'proxy-url', 'the relay dials the server itself: name a server that this machine reaches'],
]

/** Reads files that the kubeconfig names, relative to itself. `context` is its current one where none is given. */
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
    return { issues: [`its context ${chosen} names a cluster or a user that is not in it`] }
  const issues = refused
    .filter(([part, field]) => (part === 'cluster' ? cluster : user)[field] !== undefined)
    .map(([part, field, advice]) => `its ${part} has ${field}: ${advice}`)
  /* What speaks plain HTTP, as kubectl proxy does, lets everybody do what one may: no rights could be kept apart. */
  if (!/^https:\/\//.test(String(cluster.server ?? '')))
    issues.push('its server is none that begins with https://')
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

/** A file goes before a token that is written down, as in every client of Kubernetes. */
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
