import { version } from '../api/version.ts'
import { type ClusterAccess, inClusterAccess } from '../kube/access.ts'
import { KubeClient } from '../kube/client.ts'
import { hasKubeconfig, usualKubeconfigs } from './kubeconfig/kubeconfig-files.ts'
import { UserError } from './user-error.ts'

/** Runs `work` with a client of the cluster in the user's kubeconfig: the given ones, $KUBECONFIG, or ~/.kube/config. */
export async function withCluster<T>(
  work: (client: KubeClient) => Promise<T>,
  kubeconfigs: readonly string[] = [],
): Promise<T> {
  const access = await readAccess(...kubeconfigs)
  await using client = new KubeClient(access, { userAgent: `sallyport/${version}`, timeoutMs: 20_000 })
  try {
    return await work(client)
  } catch (error) {
    throw isFromNetwork(error)
      ? new UserError(
          `the API server ${access.server} does not answer: ${error.message}. Check the current context of your kubeconfig`,
        )
      : error
  }
}

/** The error codes by which Node.js, undici and TLS report network failures. Other errors, such as a missing file, have codes too. */
const networkCodes =
  /^(UND_ERR_|ECONN|EHOST|ENET|EPIPE$|EPROTO$|ETIMEDOUT$|ENOTFOUND$|EAI_|ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_)/

function isFromNetwork(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && networkCodes.test(String(error.code))
}

/**
 * Reads the given kubeconfigs, or by default those that kubectl reads. A pod without a kubeconfig uses its service account. The YAML parser
 * is imported only here, because commands that ask an agent do not need it.
 */
export async function readAccess(...paths: readonly string[]): Promise<ClusterAccess> {
  if (paths.length === 0 && !hasKubeconfig() && process.env.KUBERNETES_SERVICE_HOST !== undefined)
    return inClusterAccess()
  const { accessOf, chooseContext } = await import('./kubeconfig/kubeconfig.ts')
  return accessOf(chooseContext(paths.length > 0 ? paths : usualKubeconfigs()))
}
