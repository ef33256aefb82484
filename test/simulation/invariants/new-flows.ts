import type { Address } from '../../../src/net/address.ts'
import type { Cluster } from '../cluster.ts'
import { allowedAddresses, worldPod } from '../cluster-view.ts'
import type { Frame } from '../frames.ts'
import type { Machine } from '../machine.ts'
import type { SimulatedPod } from '../pods.ts'
import type { Flow } from '../traffic.ts'
import { InformedAgents, lagUs } from './informed-agents.ts'
import type { Invariant } from './invariant.ts'
import { RecentWorlds } from './recent-worlds.ts'

/**
 * A new flow has an address that the policies of now name, or the node's own where no policy selects its pod any more. Other invariants
 * allow what any earlier policy named: established flows keep it.
 */
export function newFlowsFollowPolicies(cluster: Cluster): Invariant {
  const worlds = new RecentWorlds(cluster)
  const known = new Map<string, readonly string[]>()
  const informed = new InformedAgents(cluster)
  const allowedOf = (pod: SimulatedPod, destination: Address, sinceUs: number): ReadonlySet<string> => {
    const allowed = worlds.since(sinceUs).flatMap(({ id, world }) => {
      const key = `${pod.uid} ${destination} ${id}`
      const found = known.get(key) ?? allowedAddresses(cluster, world, worldPod(pod, cluster), destination)
      known.set(key, found)
      return found
    })
    return new Set(allowed)
  }
  return {
    name: 'a new flow has an address that its policies name now',
    sample(): undefined {
      informed.sample()
    },
    onArrival(flow: Flow, { source, destination }: Frame, by: Machine): string | undefined {
      if (flow.sent > 1 || !informed.has(flow.pod.machine)) return undefined
      const allowed = allowedOf(flow.pod, destination, cluster.clock.nowUs - lagUs)
      if (allowed.has(source)) return undefined
      if (allowed.has('masquerade') && source === flow.pod.machine.address) return undefined
      return `new ${flow.name} left ${by.name} with ${source}; its policies name ${[...allowed].join(' ') || 'nothing'}`
    },
  }
}
