import { isNotFound } from '../../kube/kube-error.ts'
import { type Cluster, podsName } from './cluster.ts'

/** Pods that are to go from nodes that are not there: no kubelet will ever say that they have ended. */
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
