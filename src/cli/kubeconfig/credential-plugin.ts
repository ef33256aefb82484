import { KubeConfig } from '@kubernetes/client-node'
import type { ClusterAccess } from '../../kube/access.ts'
import type { Context } from './kubeconfig.ts'

/** A plugin is asked again only when what it gave has run out; an upgrade takes longer than most tokens live. */
const lookAgainMs = 5_000

/**
 * Plugins that fetch credentials are many; the official client knows them. It takes a third of a second to load. What it has
 * is refreshed until this process ends.
 */
export async function askPlugin({
  cluster,
  user,
}: Context): Promise<Pick<ClusterAccess, 'token' | 'clientCertificate'>> {
  const config = new KubeConfig()
  config.loadFromString(
    JSON.stringify({
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  )
  const ask = async () => {
    const options: { headers?: Record<string, unknown>; cert?: unknown; key?: unknown } = {}
    await config.applyToHTTPSOptions(options as never)
    const { headers, cert, key } = options
    const token = String(headers?.Authorization ?? '').replace(/^Bearer /, '') || undefined
    return { token, certificate: cert === undefined ? undefined : { cert: String(cert), key: String(key) } }
  }
  let { token, certificate } = await ask()
  const refresh = async (): Promise<void> => {
    const answer = await ask()
    token = answer.token
  }
  /* What it had may still be good; where it is not, the server says so. */
  setInterval(() => void refresh().catch(() => {}), lookAgainMs).unref()
  return { token: () => token, ...(certificate === undefined ? {} : { clientCertificate: certificate }) }
}
