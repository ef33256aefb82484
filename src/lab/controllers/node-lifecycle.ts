import { type Cluster, nodesName } from './cluster.ts'

/** A node is not ready if its kubelet has not renewed its Lease for this long. */
const heartbeatGraceMs = 40_000

/** Sets the conditions of nodes without a recent Lease to Unknown. */
export async function judgeNodes(cluster: Cluster, nowMs: number): Promise<void> {
  for (const node of cluster.nodesByName()) {
    const ready = node.status?.conditions?.find(({ type }) => type === 'Ready')
    const renewTime = cluster.leaseOf(node.metadata.name)?.spec?.renewTime
    /* A kubelet that comes back writes one before the other. */
    const heardMs = [renewTime, ready?.lastHeartbeatTime].flatMap((text) =>
      text === undefined ? [] : Date.parse(text),
    )
    if (heardMs.length === 0 || !(nowMs - Math.max(...heardMs) > heartbeatGraceMs)) continue
    if (ready === undefined || ready.status === 'Unknown') continue
    const unknown = {
      status: 'Unknown',
      reason: 'NodeStatusUnknown',
      message: 'Kubelet stopped posting node status.',
    }
    const conditions = (node.status?.conditions ?? []).map((condition) =>
      condition.type === 'Ready' ? { ...condition, ...unknown } : condition,
    )
    await cluster.client
      .resource(nodesName)
      .patch(
        node.metadata.name,
        'merge',
        { status: { conditions } },
        { subresource: 'status', fieldManager: 'kube-controller-manager' },
      )
  }
}
