import type { KubeObject } from '../../kube/client.ts'
import { isAlreadyExists, isConflict, isNotFound, KubeError } from '../../kube/kube-error.ts'
import { type Cluster, configMapsName, serviceAccountsName } from './cluster.ts'

/** By this name pods find out whom the API server's certificate is from. */
const authorityName = 'kube-root-ca.crt'
const authorityFile = 'ca.crt'

const description =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.'

/** Creates what every namespace needs before a pod can run in it: a service account, and the API server's authority. */
export async function furnishNamespaces(cluster: Cluster, authority: string): Promise<void> {
  for (const { metadata } of cluster.namespaces()) {
    if (metadata.deletionTimestamp !== undefined) continue
    if (!cluster.hasDefaultAccount(metadata.name)) await createAccount(cluster, metadata.name)
    const present = cluster.authorityOf(metadata.name)
    if (present?.data?.[authorityFile] !== authority)
      await writeAuthority(cluster, metadata.name, authority, present !== undefined)
  }
}

async function createAccount({ client }: Cluster, namespace: string): Promise<void> {
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } }
  await client.resource(serviceAccountsName).create(account).catch(ignoreRace)
}

async function writeAuthority(
  { client }: Cluster,
  namespace: string,
  authority: string,
  isThere: boolean,
): Promise<void> {
  const maps = client.resource<KubeObject>(configMapsName)
  const data = { [authorityFile]: authority }
  const configMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: authorityName, namespace, annotations: { 'kubernetes.io/description': description } },
    data,
  }
  const write = isThere ? maps.patch(authorityName, 'merge', { data }, { namespace }) : maps.create(configMap)
  await write.catch(ignoreRace)
}

/** The namespace is being deleted, or another process was faster. The next reconciliation adds what is still missing. */
function ignoreRace(error: unknown): void {
  const isRefused = error instanceof KubeError && error.code === 403
  if (!isRefused && !isAlreadyExists(error) && !isConflict(error) && !isNotFound(error)) throw error
}
