import type { World } from '../world.ts'

/**
 * Unhealthy nodes, by name: their kubelet does not report, their agent has never reported, or they are unreachable from most
 * of the nodes that probe them. A node that reaches no other may itself be cut off, so a majority is needed, and only nodes
 * that are ready count.
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
