import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { version } from '../api/version.ts'
import type { ClusterAccess } from '../kube/access.ts'
import { KubeClient } from '../kube/client.ts'
import { Complaint } from './complaint.ts'

/** Works with the cluster that the person's kubeconfig names: $KUBECONFIG, or ~/.kube/config. */
export async function withCluster<T>(work: (client: KubeClient) => Promise<T>): Promise<T> {
  const access = await readAccess()
  await using client = new KubeClient(access, { userAgent: `sallyport/${version}`, timeoutMs: 20_000 })
  try {
    return await work(client)
  } catch (error) {
    throw isFromNetwork(error)
      ? new Complaint(
          `${access.server} does not answer: ${error.message}; the kubeconfig's current context names it`,
        )
      : error
  }
}

/** What Node.js, undici and TLS call failures on the way; a file that is missing has a code, too. */
const networkCodes =
  /^(UND_ERR_|ECONN|EHOST|ENET|EPIPE$|EPROTO$|ETIMEDOUT$|ENOTFOUND$|EAI_|ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_)/

function isFromNetwork(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && networkCodes.test(String(error.code))
}

interface Kubeconfig {
  readonly 'current-context'?: string
  readonly contexts?: readonly { name: string; context: { cluster: string; user: string } }[]
  readonly clusters?: readonly { name: string; cluster: Record<string, string> }[]
  readonly users?: readonly { name: string; user: Record<string, unknown> }[]
}

/** What kubectl would take: $KUBECONFIG, or ~/.kube/config. */
function usualKubeconfig(): string {
  return (
    (process.env.KUBECONFIG ?? '').split(':').find((each) => each !== '') ?? join(homedir(), '.kube/config')
  )
}

export async function readAccess(path = usualKubeconfig()): Promise<ClusterAccess> {
  if (!existsSync(path))
    throw new Complaint(`there is no kubeconfig at ${path}: set KUBECONFIG, or work in "sallyport lab shell"`)
  const { parse } = await import('yaml')
  const config = parse(readFileSync(path, 'utf8')) as Kubeconfig
  const context = config.contexts?.find(({ name }) => name === config['current-context'])?.context
  const cluster = config.clusters?.find(({ name }) => name === context?.cluster)?.cluster
  const user = config.users?.find(({ name }) => name === context?.user)?.user
  if (cluster?.server === undefined || user === undefined)
    throw new Complaint(
      `the kubeconfig ${path} has no current context with a cluster and a user: kubectl config use-context …`,
    )
  const near = (file: string): string => readFileSync(resolve(dirname(path), file), 'utf8')
  const pem = (holder: Record<string, unknown>, name: string): string | undefined => {
    const [data, file] = [holder[`${name}-data`], holder[name]]
    if (typeof data === 'string') return Buffer.from(data, 'base64').toString('utf8')
    return typeof file === 'string' ? near(file) : undefined
  }
  const ca = pem(cluster, 'certificate-authority')
  const [cert, key] = [pem(user, 'client-certificate'), pem(user, 'client-key')]
  if (typeof user.token !== 'string' && typeof user.tokenFile !== 'string' && cert === undefined)
    return readWithPlugins(path)
  return {
    server: cluster.server,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { clientCertificate: { cert, key } }),
    token: () =>
      typeof user.token === 'string'
        ? user.token
        : typeof user.tokenFile === 'string'
          ? near(user.tokenFile).trim()
          : undefined,
  }
}

/** Plugins that fetch credentials are many; the official client knows them. It takes a third of a second to load. */
async function readWithPlugins(path: string): Promise<ClusterAccess> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  config.loadFromFile(path)
  const options: { headers?: Record<string, unknown>; cert?: unknown; key?: unknown; ca?: unknown } = {}
  await config.applyToHTTPSOptions(options as never)
  const authorization = String(options.headers?.Authorization ?? '')
  const server = config.getCurrentCluster()?.server
  if (server === undefined) throw new Complaint(`the kubeconfig ${path} names no server`)
  return {
    server,
    ...(options.ca === undefined ? {} : { ca: String(options.ca) }),
    ...(options.cert === undefined
      ? {}
      : { clientCertificate: { cert: String(options.cert), key: String(options.key) } }),
    token: () => authorization.replace(/^Bearer /, '') || undefined,
  }
}
