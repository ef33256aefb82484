import type { Address } from '../../../src/net/address.ts'
import type { Cluster } from '../cluster.ts'
import type { Frame } from '../frames.ts'
import type { Machine } from '../machine.ts'
import type { Flow } from '../traffic.ts'
import type { Invariant } from './invariant.ts'

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

/** Which gateways a source reaches now: the path is whole in both directions, and the gateway's kernel says that it is alive. */
class Reachability {
  readonly #cluster: Cluster
  readonly #states = new Map<string, { isReachable: boolean; sinceUs: number }>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  sample(): void {
    const { machines, clock } = this.#cluster
    for (const source of machines)
      for (const gateway of machines) {
        const key = `${source.name} ${gateway.name}`
        const isReachable = this.#isReachable(source, gateway)
        if (this.#states.get(key)?.isReachable !== isReachable)
          this.#states.set(key, { isReachable, sinceUs: clock.nowUs })
      }
  }

  #isReachable(source: Machine, gateway: Machine): boolean {
    const { wires } = this.#cluster.network
    if (!source.isMoving || !gateway.isMoving) return false
    if (!gateway.programs.isAttached('from_world', gateway.uplink)) return false
    if (wires.isCut('link', gateway.name, 'world')) return false
    if (source === gateway) return true
    if (wires.isCut('tunnel', source.name, gateway.name)) return false
    if (wires.isCut('tunnel', gateway.name, source.name)) return false
    const alive = gateway.programs.datapath.tables.vitals.get(0)?.alive_until_ns ?? 0n
    return alive > gateway.monotonicNs() && gateway.overlay !== undefined
  }

  state(source: Machine, gateway: Machine): { isReachable: boolean; sinceUs: number } {
    return this.#states.get(`${source.name} ${gateway.name}`) ?? { isReachable: false, sinceUs: 0 }
  }
}

interface Outstanding {
  readonly sequence: number
  readonly atUs: number
}

/** An established flow's packets arrive whenever any gateway of its address's order is reachable from its source. */
export function establishedFlowsArrive(cluster: Cluster): Invariant {
  const reachability = new Reachability(cluster)
  const outstanding = new Map<Flow, Outstanding[]>()
  const orders = new OrderHistory(cluster)
  const judge = (flow: Flow, { atUs }: Outstanding): string | undefined => {
    const { egress, pod } = flow
    if (egress === undefined || pod.isGone || !pod.isRunning) return undefined
    const { order, sinceUs: orderSinceUs } = orders.of(pod.machine, egress.address)
    const states = order.map((gateway) => ({ gateway, ...reachability.state(pod.machine, gateway) }))
    const reachable = states.filter(({ isReachable }) => isReachable)
    const sinceUs = Math.max(orderSinceUs, cluster.disturbedAtUs(pod.machine), ...states.map((each) => each.sinceUs))
    if (reachable.length === 0 || sinceUs + graceUs > atUs) return undefined
    const names = reachable.map(({ gateway }) => gateway.name).join(' ')
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
      if (list !== undefined) outstanding.set(flow, list.filter((each) => each.sequence > sequence))
    },
    sample(): string | undefined {
      reachability.sample()
      orders.sample()
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

/** The order of each egress IP as a machine's own table has it, and since when. */
class OrderHistory {
  readonly #cluster: Cluster
  readonly #known = new Map<string, { readonly text: string; readonly order: readonly Machine[]; readonly sinceUs: number }>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  sample(): void {
    const byAddress = new Map(this.#cluster.machines.map((machine) => [machine.address, machine]))
    for (const machine of this.#cluster.machines) {
      if (!machine.isOn) continue
      for (const [address, { order }] of machine.programs.datapath.tables.egress_ips.entries()) {
        const key = `${machine.name} ${address}`
        const text = order.join(' ')
        if (this.#known.get(key)?.text === text) continue
        const machines = order.flatMap((each) => byAddress.get(each) ?? [])
        this.#known.set(key, { text, order: machines, sinceUs: this.#cluster.clock.nowUs })
      }
    }
  }

  of(machine: Machine, address: Address): { readonly order: readonly Machine[]; readonly sinceUs: number } {
    return this.#known.get(`${machine.name} ${address}`) ?? { order: [], sinceUs: 0 }
  }
}
