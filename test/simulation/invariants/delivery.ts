import type { Address } from '../../../src/net/address.ts'
import type { Cluster } from '../cluster.ts'
import type { Frame } from '../frames.ts'
import type { Machine } from '../machine.ts'
import type { Flow } from '../traffic.ts'
import { type Invariant, newsUs } from './invariant.ts'

/**
 * How long after a change among an address's gateways packets may still be lost.
 *
 *   a death is noticed by the probes         0.45 s
 *   packets of before the change             0.25 s
 *   one that is back waits for its agent     0.3 s
 */
const graceUs = 1_000_000
/** A packet that has not arrived by then is lost. */
const travelUs = 300_000

/** By which paths packets travel between a source and a gateway, there and back. */
type Paths = 'none' | 'tunnel' | 'link' | 'both'

interface GatewayState {
  readonly paths: Paths
  readonly sinceUs: number
}

/** Which gateways a source reaches now: a path is whole in both directions, and the gateway's kernel says that it is alive. */
class Reachability {
  readonly #cluster: Cluster
  readonly #states = new Map<string, GatewayState>()

  readonly #blindAtUs = new Map<Machine, number>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** When a source last judged no gateway, because its agent sends no probes: then every gateway counts as reachable. */
  blindAtUs(source: Machine): number {
    return this.#blindAtUs.get(source) ?? 0
  }

  sample(): void {
    const { machines, clock } = this.#cluster
    for (const machine of machines) if (!isProbing(machine)) this.#blindAtUs.set(machine, clock.nowUs)
    const alive = new Map(machines.map((machine) => [machine, isAlive(machine)]))
    for (const source of machines)
      for (const gateway of machines) {
        const key = `${source.name} ${gateway.name}`
        const canForward = source === gateway || alive.get(gateway) === true
        const paths = canForward ? this.#paths(source, gateway) : 'none'
        if (this.#states.get(key)?.paths !== paths) this.#states.set(key, { paths, sinceUs: clock.nowUs })
      }
  }

  #paths(source: Machine, gateway: Machine): Paths {
    const { wires } = this.#cluster.network
    if (!source.isMoving || !gateway.isMoving) return 'none'
    if (!gateway.programs.isAttached('from_world', gateway.uplink)) return 'none'
    if (wires.isCut('link', gateway.name, 'world')) return 'none'
    if (source === gateway) return 'both'
    if (!this.#knows(gateway, source)) return 'none'
    const isWhole = (kind: 'tunnel' | 'direct'): boolean =>
      !wires.isCut(kind, source.name, gateway.name) && !wires.isCut(kind, gateway.name, source.name)
    const hasLink = isWhole('direct') && this.#useLink(source, gateway)
    if (isWhole('tunnel')) return hasLink ? 'both' : 'tunnel'
    return hasLink ? 'link' : 'none'
  }

  /** Each knows the other's MAC, and the source's probes show that the path is whole. Without probes, packets take the tunnel. */
  #useLink(source: Machine, gateway: Machine): boolean {
    const { snapshots, configuration } = this.#cluster
    const knows = (one: Machine, other: Machine): boolean =>
      snapshots.get(one)?.links.get(other.address) === other.mac
    return configuration.usesLinks && isProbing(source) && knows(source, gateway) && knows(gateway, source)
  }

  /** A gateway forwards for nodes that it knows. It may not have heard of one yet, if the API server was away. */
  #knows(gateway: Machine, source: Machine): boolean {
    const { apiNetwork, clock, snapshots } = this.#cluster
    if (clock.nowUs - apiNetwork.troubledAtUs > newsUs) return true
    return snapshots.get(gateway)?.slots.has(source.address) === true
  }

  state(source: Machine, gateway: Machine): GatewayState {
    return this.#states.get(`${source.name} ${gateway.name}`) ?? { paths: 'none', sinceUs: 0 }
  }
}

function isProbing(source: Machine): boolean {
  const until = source.programs.datapath.tables.liveness.get(0)?.probing_until_ns ?? 0n
  return until > source.monotonicNs()
}

function isAlive(gateway: Machine): boolean {
  if (!gateway.isMoving || gateway.overlay === undefined) return false
  const alive = gateway.programs.datapath.tables.liveness.get(0)?.alive_until_ns ?? 0n
  return alive > gateway.monotonicNs()
}

/** An address that no policy names any more is known only from the tables, which a machine loses with its power. */
function hasForgotten({ agents, snapshots }: Cluster, gateway: Machine, address: Address): boolean {
  if (gateway.boots === 0 || snapshots.get(gateway)?.orders.has(address)) return false
  return !agents.some(({ agent }) => agent.snapshot.decided?.tables.egressIps.has(address))
}

const unknownOrder = { order: [], sinceUs: 0 } as const

/** A gateway keeps an address that its administrator gave it. Packets with that address go to it, also if it has forgotten it. */
function keepsForgotten(cluster: Cluster, gateway: Machine, address: Address): boolean {
  const { egressAddresses } = cluster.member(gateway.name).spec
  return egressAddresses.includes(address) && hasForgotten(cluster, gateway, address)
}

interface Outstanding {
  readonly sequence: number
  readonly atUs: number
}

/** An established flow's packets arrive whenever any gateway of its address's order is reachable from its source. */
export function establishedFlowsArrive(cluster: Cluster): Invariant {
  const reachability = new Reachability(cluster)
  const outstanding = new Map<Flow, Outstanding[]>()
  const judge = (flow: Flow, { atUs }: Outstanding): string | undefined => {
    const { egress, pod } = flow
    if (egress === undefined || pod.isGone || !pod.isRunning) return undefined
    const { order, sinceUs: orderSinceUs } =
      cluster.snapshots.get(pod.machine)?.orders.get(egress.address) ?? unknownOrder
    const gateways = cluster.machines.filter(({ address }) => order.includes(address))
    const states = gateways.map((gateway) => ({ gateway, ...reachability.state(pod.machine, gateway) }))
    if (gateways.some((gateway) => keepsForgotten(cluster, gateway, egress.address))) return undefined
    const isForgotten = (gateway: Machine): boolean => hasForgotten(cluster, gateway, egress.address)
    const reachable = states.filter(({ paths, gateway }) => paths !== 'none' && !isForgotten(gateway))
    const sinceUs = Math.max(
      orderSinceUs,
      cluster.disturbedAtUs(pod.machine),
      ...states.map((each) => each.sinceUs),
    )
    if (reachable.length === 0 || sinceUs + graceUs > atUs) return undefined
    const isBlind = reachability.blindAtUs(pod.machine) + graceUs > atUs
    if (isBlind && reachable.length < states.length) return undefined
    const names = reachable.map(({ gateway, paths }) => `${gateway.name} (${paths})`).join(' ')
    const how = flow.lastEnd === undefined ? '' : `; it ended at ${flow.lastEnd}`
    return `a packet of ${flow.name} with ${egress.address}:${egress.port} did not arrive, although ${names} could be reached for ${((atUs - sinceUs) / 1e6).toFixed(1)} s${how}`
  }
  return {
    name: 'an established flow’s packets arrive whenever any gateway of its order is reachable from its source',
    onSent(flow: Flow): void {
      if (!flow.isLong || !flow.isEstablished) return
      const list = outstanding.get(flow) ?? []
      list.push({ sequence: flow.sent, atUs: flow.sentAtUs })
      outstanding.set(flow, list)
    },
    onArrival(flow: Flow, { sequence }: Frame): undefined {
      const list = outstanding.get(flow)
      if (list !== undefined)
        outstanding.set(
          flow,
          list.filter((each) => each.sequence > sequence),
        )
    },
    sample(): string | undefined {
      reachability.sample()
      const { nowUs } = cluster.clock
      for (const [flow, list] of outstanding) {
        const [first] = list
        if (first === undefined || nowUs - first.atUs < travelUs) continue
        list.shift()
        const problem = judge(flow, first)
        if (problem !== undefined) return problem
        if (flow.pod.isGone) outstanding.delete(flow)
      }
      return undefined
    },
  }
}
