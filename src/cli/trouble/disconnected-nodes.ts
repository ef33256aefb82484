import type { EgressNode } from '../../api/egress-node.ts'
import { kinds } from '../../api/kinds.ts'
import type { KubeClient } from '../../kube/client.ts'
import { clusterResource } from '../../kube/cluster-objects.ts'
import { KubeError } from '../../kube/kube-error.ts'

/** The nodes whose agent reports that other nodes do not reach them, one sentence each. Empty without the right to read them. */
export async function explainDisconnectedNodes(client: KubeClient): Promise<readonly string[]> {
  return (await listEgressNodes(client)).flatMap(({ metadata: { name }, status }) => {
    const connected = status?.conditions?.find(({ type }) => type === 'Connected')
    return connected?.status === 'False' ? [`node ${name} is not connected: ${connected.message}`] : []
  })
}

/** Empty if Sallyport is not installed, or if the user has no right to read them. */
async function listEgressNodes(client: KubeClient): Promise<readonly EgressNode[]> {
  try {
    return (await client.resource<EgressNode>(clusterResource(kinds.egressNode)).list()).items
  } catch (error) {
    if (error instanceof KubeError && [403, 404].includes(error.code)) return []
    throw error
  }
}
