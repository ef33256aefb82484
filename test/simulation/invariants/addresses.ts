import type { World } from '../../../src/decide/world.ts'
import type { Address } from '../../../src/net/address.ts'
import type { Cluster } from '../cluster.ts'
import { allowedAddresses, worldPod } from '../cluster-view.ts'
import type { Frame } from '../frames.ts'
import type { Machine } from '../machine.ts'
import type { SimulatedPod } from '../pods.ts'
import { type Flow, servers } from '../traffic.ts'
import { type Invariant, newsUs } from './invariant.ts'
import { RecentWorlds } from './recent-worlds.ts'

/** No mapping lasts longer without a packet than this, by the shortest of the datapath's timers: then the flow is a new one. */
const shortestTimerUs = 230_000_000

/**
 * No packet of a selected pod leaves with another address. Addresses that its policies have named at any time since it began count.
 * Watches are not in step: an agent may know policies of now and nodes of a minute ago.
 */
export function onlyPolicyAddresses(cluster: Cluster): Invariant {
  const known = new Map<string, Set<string>>()
  const seen = new Set<string>()
  const worlds = new RecentWorlds(cluster)
  const note = (): void => {
    for (const { id, world } of worlds.since(cluster.clock.nowUs - newsUs)) allow(world, id)
  }
  const allow = (world: World, id: string): void => {
    for (const pod of cluster.pods) {
      const state = `${pod.uid} ${id}`
      if (seen.has(state)) continue
      seen.add(state)
      for (const server of servers) {
        const key = `${pod.uid} ${server}`
        const addresses = known.get(key) ?? new Set()
        known.set(key, addresses)
        for (const each of allowedAddresses(cluster, world, worldPod(pod, cluster), server))
          addresses.add(each)
      }
    }
  }
  /** A pod whose Node is gone is outside the cluster, and may be the endpoint of a flow that began before. */
  const namedLately = (pod: SimulatedPod, destination: Address): ReadonlySet<string> =>
    new Set(
      worlds
        .since(cluster.clock.nowUs - newsUs)
        .flatMap(({ world }) => allowedAddresses(cluster, world, worldPod(pod, cluster), destination)),
    )
  worlds.listen(note)
  return {
    name: 'no packet of a selected pod leaves with another address',
    onArrival(flow: Flow, { source, destination }: Frame, by: Machine): string | undefined {
      const allowed = known.get(`${flow.pod.uid} ${destination}`) ?? namedLately(flow.pod, destination)
      if (allowed.has(source)) return undefined
      if (allowed.has('masquerade') && source === flow.pod.machine.address) return undefined
      return `${flow.name} left ${by.name} with ${source}; allowed: ${[...allowed].join(' ') || 'nothing'}`
    },
  }
}

/** An established flow keeps its address and its port. */
export function flowsKeepTheirAddress(): Invariant {
  const lastUs = new Map<Flow, number>()
  return {
    name: 'an established flow keeps its address',
    onArrival(flow: Flow, { source, sourcePort }: Frame, by: Machine): string | undefined {
      const before = flow.egress
      const idleUs = flow.sentAtUs - (lastUs.get(flow) ?? flow.sentAtUs)
      lastUs.set(flow, flow.sentAtUs)
      flow.egress = { address: source, port: sourcePort }
      if (before === undefined || idleUs > shortestTimerUs) return undefined
      /* Its SYN was not answered. Each SYN is a new attempt of the client, and a reset or its own end may have come between. */
      if (before.address === source && before.port === sourcePort) return undefined
      return `${flow.name} had ${before.address}:${before.port} and left ${by.name} with ${source}:${sourcePort}`
    },
  }
}

/** So long after the other nodes have forgotten a node, it must not answer for any address. */
const forgottenUs = 10_000_000
/** If the API server answers, the node itself learns of it, and lets go at once. */
const heardUs = 2_000_000

/** A node that others do not know never answers for an address. */
export function strangersAnswerForNothing(cluster: Cluster): Invariant {
  const unknownSinceUs = new Map<Machine, number>()
  /** What belongs to the node out of a pool counts once the node can have heard that it is a stranger. */
  const foreignOf = (machine: Machine, hasHeard: boolean): readonly Address[] => {
    const { spec } = cluster.member(machine.name)
    const own = new Set([spec.address, ...spec.egressAddresses])
    const orders = cluster.snapshots.get(machine)?.orders
    return machine.network.addresses
      .map(({ address }) => address)
      .filter((address) => address.startsWith('172.18.') && !own.has(address))
      .filter((address) => hasHeard || orders?.get(address)?.order[0] !== machine.address)
  }
  return {
    name: 'a node that others do not know never answers for an address',
    sample(): string | undefined {
      const { nowUs } = cluster.clock
      for (const machine of cluster.machines) {
        const others = cluster.machines.filter(
          (each) => each !== machine && each.isOn && cluster.hasTables(each),
        )
        const isKnown = others.some((each) => cluster.snapshots.get(each)?.slots.has(machine.address))
        const run = cluster.agentOf(machine)
        const isActing = machine.isMoving && run !== undefined && !run.process.isFrozen
        if (isKnown || others.length === 0 || !isActing) unknownSinceUs.delete(machine)
        else if (!unknownSinceUs.has(machine)) unknownSinceUs.set(machine, nowUs)
        const sinceUs = unknownSinceUs.get(machine)
        const hasHeard = nowUs - cluster.apiNetwork.troubledAtUs > newsUs
        if (sinceUs === undefined || nowUs - sinceUs < (hasHeard ? heardUs : forgottenUs)) continue
        const foreign = foreignOf(machine, hasHeard)
        if (foreign.length > 0)
          return `no other node has known ${machine.name} for ${(nowUs - sinceUs) / 1e6} s, and it answers for ${foreign.join(' ')}`
      }
      return undefined
    },
  }
}
