import type { World } from './world.ts'

/**
 * Nodes that a gateway had better not be, by name: Kubernetes does not hear their kubelet, their agent has never said
 * anything, or most of the nodes that report whom they hear do not hear them. One that cannot hear others may itself be
 * the one that is cut off; hence most of them, and only those that are ready.
 */
export function unhealthyNodes({
  nodes,
  egressNodes,
}: Pick<World, 'nodes' | 'egressNodes'>): ReadonlySet<string> {
  const reported = new Map(egressNodes.map(({ metadata, status }) => [metadata.name, status]))
  const ready = nodes.filter(({ isReady }) => isReady !== false)
  const witnesses = ready.flatMap(({ name }) => {
    const unreachable = reported.get(name)?.unreachable
    return unreachable === undefined ? [] : { name, unreachable: new Set(unreachable) }
  })
  const isHeard = (name: string): boolean => {
    const others = witnesses.filter((witness) => witness.name !== name)
    return others.filter(({ unreachable }) => unreachable.has(name)).length * 2 <= others.length
  }
  const healthy = ready.filter(({ name }) => reported.get(name)?.interfaces !== undefined && isHeard(name))
  const isHealthy = new Set(healthy.map(({ name }) => name))
  return new Set(nodes.map(({ name }) => name).filter((name) => !isHealthy.has(name)))
}
