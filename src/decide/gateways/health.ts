import type { World } from '../world.ts'

type Known = Pick<World, 'nodes' | 'egressNodes'>
type Reports = ReadonlyMap<string, World['egressNodes'][number]['status']>

/**
 * The names of unhealthy nodes. A node is unhealthy if its kubelet does not report, if its agent has never reported, or if
 * most of the nodes that probe it do not reach it. A majority is needed because a node that does not reach others may be cut
 * off itself. Only nodes that are Ready count, and the reports of unhealthy nodes do not count against those of the others: a
 * node that has just died is Ready for 40 s more, and its last report is old.
 */
export function unhealthyNodes({ nodes, egressNodes }: Known): ReadonlySet<string> {
  const reports: Reports = new Map(egressNodes.map(({ metadata, status }) => [metadata.name, status]))
  const isUsable = new Set(
    nodes
      .filter(({ name, isReady }) => isReady !== false && reports.get(name)?.interfaces !== undefined)
      .map(({ name }) => name),
  )
  const ready = nodes.filter(({ isReady }) => isReady !== false).map(({ name }) => name)
  const unreachable = mostlyUnreachable(ready, reports)
  const healthyWitnesses = ready.filter((name) => !unreachable.has(name))
  const alsoUnreachable = mostlyUnreachable(healthyWitnesses, reports)
  return new Set(
    nodes
      .map(({ name }) => name)
      .filter((name) => !isUsable.has(name) || unreachable.has(name) || alsoUnreachable.has(name)),
  )
}

/** The nodes that more of the witnesses report as unreachable than as reachable. */
function mostlyUnreachable(witnesses: readonly string[], reports: Reports): ReadonlySet<string> {
  const votes = new Map<string, number>()
  for (const witness of witnesses) {
    const { heard = [], unreachable = [] } = reports.get(witness) ?? {}
    for (const [names, vote] of [
      [heard, 1],
      [unreachable, -1],
    ] as const)
      for (const name of names) if (name !== witness) votes.set(name, (votes.get(name) ?? 0) + vote)
  }
  return new Set([...votes].flatMap(([name, sum]) => (sum < 0 ? [name] : [])))
}
