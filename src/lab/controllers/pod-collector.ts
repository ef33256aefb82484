import { isNotFound } from '../../kube/kube-error.ts'
import { type Cluster, podsName } from './cluster.ts'

/** Deletes pods that are being deleted on nodes that do not exist. No kubelet will report their end. */
export async function collectPods(cluster: Cluster): Promise<void> {
  const nodes = new Set(cluster.nodesByName().map(({ metadata }) => metadata.name))
  for (const { metadata, spec } of cluster.pods()) {
    if (metadata.deletionTimestamp === undefined || !spec.nodeName || nodes.has(spec.nodeName)) continue
    await cluster.client
      .resource(podsName)
      .delete(metadata.name, { namespace: metadata.namespace ?? 'default', gracePeriodSeconds: 0 })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error
      })
  }
}
