import type { World } from '../world.ts'

/**
 * Nodes that a gateway had better not be, by name: Kubernetes does not hear their kubelet, their agent has never said
 * anything, or most of the nodes that listen for them do not hear them. One that cannot hear others may itself be the one
 * that is cut off; hence most of them, and only those that are ready.
 */
export function unhealthyNodes({
  nodes,
  egressNodes,
}: Pick<World, 'nodes' | 'egressNodes'>): ReadonlySet<string> {
  const reported = new Map(egressNodes.map(({ metadata, status }) => [metadata.name, status]))
  const ready = nodes.filter(({ isReady }) => isReady !== false)
  const votes = new Map<string, number>()
  for (const witness of ready) {
    const { heard = [], unreachable = [] } = reported.get(witness.name) ?? {}
    for (const [names, vote] of [
      [heard, 1],
      [unreachable, -1],
    ] as const)
      for (const name of names) if (name !== witness.name) votes.set(name, (votes.get(name) ?? 0) + vote)
  }
  const healthy = ready.filter(
    ({ name }) => reported.get(name)?.interfaces !== undefined && (votes.get(name) ?? 0) >= 0,
  )
  const isHealthy = new Set(healthy.map(({ name }) => name))
  return new Set(nodes.map(({ name }) => name).filter((name) => !isHealthy.has(name)))
}
