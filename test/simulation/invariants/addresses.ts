import type { Address } from '../../../src/net/address.ts'
import type { Cluster } from '../cluster.ts'
import { allowedAddresses, worldOf, worldPod } from '../cluster-view.ts'
import type { Frame } from '../frames.ts'
import type { Machine } from '../machine.ts'
import { type Flow, servers } from '../traffic.ts'
import type { Invariant } from './invariant.ts'

/** No mapping lasts longer without a packet than this, by the shortest of the datapath's timers: then the flow is a new one. */
const shortestTimerUs = 230_000_000

/** Kinds of objects that an egress IP depends on. */
const deciding: ReadonlySet<string> = new Set([
  '/nodes',
  '/pods',
  'cilium.io/ciliumegressgatewaypolicies',
  'isovalent.com/isovalentegressgatewaypolicies',
])

/** No packet of a selected pod leaves with another address. Addresses that its policies have named at any time since it began count. */
export function onlyPolicyAddresses(cluster: Cluster): Invariant {
  const known = new Map<string, Set<string>>()
  const note = (): void => {
    const world = worldOf(cluster)
    for (const pod of cluster.pods)
      for (const server of servers) {
        const key = `${pod.uid} ${server}`
        const addresses = known.get(key) ?? new Set()
        known.set(key, addresses)
        for (const each of allowedAddresses(cluster, world, worldPod(pod, cluster), server))
          addresses.add(each)
      }
  }
  /* Every state counts, however short: an agent may have seen just that one. */
  cluster.api.store.listen(({ resource }) => {
    if (deciding.has(resource)) note()
  })
  return {
    name: 'no packet of a selected pod leaves with another address',
    onArrival(flow: Flow, { source }: Frame, by: Machine): string | undefined {
      const allowed = known.get(`${flow.pod.uid} ${flow.destination}`) ?? new Set()
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
const newsUs = 2_000_000

/** A node that others do not know never answers for an address. */
export function strangersAnswerForNothing(cluster: Cluster): Invariant {
  const unknownSinceUs = new Map<Machine, number>()
  const foreignOf = (machine: Machine): readonly Address[] => {
    const { spec } = cluster.member(machine.name)
    const own = new Set([spec.address, ...spec.egressAddresses])
    return machine.network.addresses
      .map(({ address }) => address)
      .filter((address) => address.startsWith('172.18.') && !own.has(address))
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
        const foreign = foreignOf(machine)
        const hasHeard = nowUs - cluster.apiNetwork.troubledAtUs > forgottenUs
        if (sinceUs === undefined || nowUs - sinceUs < (hasHeard ? newsUs : forgottenUs)) continue
        if (foreign.length > 0)
          return `no other node has known ${machine.name} for ${(nowUs - sinceUs) / 1e6} s, and it answers for ${foreign.join(' ')}`
      }
      return undefined
    },
  }
}
