import { version } from '../api/version.ts'
import { type ClusterAccess, inClusterAccess } from '../kube/access.ts'
import { KubeClient } from '../kube/client.ts'
import { hasKubeconfig, usualKubeconfigs } from './kubeconfig/kubeconfig-files.ts'
import { Complaint } from './user-error.ts'

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

/**
 * Reads the files that are named, or those that kubectl would. In a pod without a kubeconfig, its service account. Loaded late: YAML is much for a
 * command that asks an agent.
 */
export async function readAccess(...paths: readonly string[]): Promise<ClusterAccess> {
  if (paths.length === 0 && !hasKubeconfig() && process.env.KUBERNETES_SERVICE_HOST !== undefined)
    return inClusterAccess()
  const { accessOf, chooseContext } = await import('./kubeconfig/kubeconfig.ts')
  return accessOf(chooseContext(paths.length > 0 ? paths : usualKubeconfigs()))
}
