import { existsSync, readFileSync } from 'node:fs'
import { delimiter, dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import type { ClusterAccess } from '../../kube/access.ts'
import { UserError } from '../user-error.ts'
import { type Fields, fieldsOf } from './fields.ts'

/** The cluster and the user of a kubeconfig's current context. Paths of files are absolute. */
export interface Context {
  readonly cluster: Fields
  readonly user: Fields
}

/** Of several files that set the same value, the first one wins. Missing files are ignored. */
export function chooseContext(paths: readonly string[]): Context {
  const configs = paths.filter((path) => existsSync(path)).map(readConfig)
  const where = paths.join(delimiter)
  if (configs.length === 0)
    throw new UserError(`there is no kubeconfig at ${where}: set KUBECONFIG, or use "sallyport lab shell"`)
  const current = configs.map((config) => config['current-context']).find((name) => name)
  const find = (list: string, part: string, name: unknown): Fields | undefined =>
    configs
      .flatMap((config) => (Array.isArray(config[list]) ? config[list].map(fieldsOf) : []))
      .filter((entry) => entry.name === name)
      .map((entry) => fieldsOf(entry[part]))[0]
  const context = find('contexts', 'context', current)
  const cluster = find('clusters', 'cluster', context?.cluster)
  const user = find('users', 'user', context?.user)
  if (cluster?.server === undefined || user === undefined)
    throw new UserError(
      `the kubeconfig ${where} has no current context with a cluster and a user: choose one with "kubectl config use-context NAME"`,
    )
  return { cluster, user }
}

function readConfig(path: string): Fields {
  const config = fieldsOf(parse(readFileSync(path, 'utf8')))
  const near = (file: unknown): unknown =>
    typeof file === 'string' && file !== '' ? resolve(dirname(path), file) : undefined
  const located = (entry: Fields, part: string, names: readonly string[]): Fields => {
    const fields = fieldsOf(entry[part])
    const files = Object.fromEntries(names.map((name) => [name, near(fields[name])]))
    return { ...entry, [part]: { ...fields, ...files } }
  }
  const each = (list: string, part: string, names: readonly string[]): readonly Fields[] =>
    (Array.isArray(config[list]) ? config[list] : []).map((entry) => located(fieldsOf(entry), part, names))
  return {
    ...config,
    clusters: each('clusters', 'cluster', ['certificate-authority']),
    users: each('users', 'user', ['client-certificate', 'client-key', 'tokenFile']).map((user) =>
      withLocatedPlugin(user, dirname(path)),
    ),
  }
}

/** A plugin with a slash in its name is beside the kubeconfig, and any other in $PATH. */
function withLocatedPlugin(entry: Fields, folder: string): Fields {
  const user = fieldsOf(entry.user)
  const exec = fieldsOf(user.exec)
  return typeof exec.command === 'string' && exec.command.includes('/')
    ? { ...entry, user: { ...user, exec: { ...exec, command: resolve(folder, exec.command) } } }
    : entry
}

/** Fields that kubectl supports and this command does not. Without them, requests would come from another user, or go to another server. */
const unsupported: readonly (readonly [part: keyof Context, field: string, advice: string])[] = [
  ['cluster', 'proxy-url', 'set a server that this machine reaches without a proxy'],
  [
    'user',
    'username',
    'use a token or a certificate, because Kubernetes does not support passwords any more',
  ],
  ['user', 'as-uid', 'impersonate by name and groups only'],
  ['user', 'as-user-extra', 'impersonate by name and groups only'],
]

export async function accessOf(context: Context): Promise<ClusterAccess> {
  const { cluster, user } = context
  for (const [part, field, advice] of unsupported)
    if (context[part][field])
      throw new UserError(
        `the kubeconfig's ${part} has ${field}, which this command does not support: ${advice}`,
      )
  const ca = pem(cluster, 'certificate-authority')
  const [cert, key] = [pem(user, 'client-certificate'), pem(user, 'client-key')]
  const { as, 'as-groups': groups } = user
  const access: Omit<ClusterAccess, 'token'> = {
    server: String(cluster.server).replace(/\/+$/, ''),
    ...(ca === undefined ? {} : { ca }),
    ...(cluster['insecure-skip-tls-verify'] === true ? { skipsTlsVerify: true } : {}),
    ...(typeof cluster['tls-server-name'] === 'string' ? { tlsServerName: cluster['tls-server-name'] } : {}),
    ...(typeof as === 'string' ? { impersonate: { user: as, groups: Array.isArray(groups) ? groups.map(String) : [] } } : {}),
    ...(cert === undefined || key === undefined ? {} : { clientCertificate: { cert, key } }),
  } // biome-ignore format: a line a field
  /* Copies the getters, not their present values, because a plugin's certificate changes when it is renewed. */
  return Object.defineProperties(
    access,
    Object.getOwnPropertyDescriptors(await credentialsOf(context)),
  ) as ClusterAccess
}

/** Like in every client of Kubernetes, a token file wins over an inline token, because the file is renewed. */
async function credentialsOf(context: Context): Promise<Pick<ClusterAccess, 'token' | 'clientCertificate'>> {
  const { token, tokenFile, exec, 'auth-provider': provider } = context.user
  if (typeof tokenFile === 'string') return { token: () => readFileSync(tokenFile, 'utf8').trim() }
  if (typeof token === 'string') return { token: () => token }
  if (pem(context.user, 'client-certificate') !== undefined) return { token: () => undefined }
  if (exec !== undefined && exec !== null) {
    const { credentialPlugin } = await import('./credential-plugin.ts')
    const { renewedCredential } = await import('./renewed-credential.ts')
    return renewedCredential(credentialPlugin(context))
  }
  if (provider)
    throw new UserError(
      'the kubeconfig\'s user has an auth-provider, which this command does not support: use a credential plugin (exec), such as "kubectl oidc-login"',
    )
  return { token: () => undefined }
}

function pem(holder: Fields, name: string): string | undefined {
  const [data, file] = [holder[`${name}-data`], holder[name]]
  if (typeof data === 'string') return Buffer.from(data, 'base64').toString('utf8')
  return typeof file === 'string' ? readFileSync(file, 'utf8') : undefined
}
