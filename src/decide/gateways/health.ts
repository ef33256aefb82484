import type { World } from '../world.ts'

/**
 * The names of unhealthy nodes. A node is unhealthy if its kubelet does not report, if its agent has never reported, or if
 * most of the nodes that probe it do not reach it. A majority is needed because a node that does not reach others may be cut
 * off itself. Only nodes that are Ready count.
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
