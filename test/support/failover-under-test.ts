import { stepFailover } from '../../src/agent/failover/failover-rules.ts'
import {
  type FailoverEffect,
  type FailoverEvent,
  type FailoverState,
  startOfFailover,
} from '../../src/agent/failover/state.ts'
import type { NodeDevice } from '../../src/agent/node/node-network.ts'
import type { EgressIp, Tables } from '../../src/decide/tables.ts'
import type { Address } from '../../src/net/address.ts'
import { type Prefix, parsePrefix } from '../../src/net/prefix.ts'
import { address } from './world-builder.ts'

export const [self, owner, other] = [address('192.0.2.11'), address('192.0.2.12'), address('192.0.2.13')]
export const egressIp = address('192.0.2.42')

/** The node's only device, with the link of all addresses above. */
export function device(changes: Partial<NodeDevice> = {}): NodeDevice {
  return {
    index: 2,
    name: 'eth0',
    alternativeNames: [],
    kind: undefined,
    mtu: 1500,
    mac: '02:00:00:00:00:01',
    isUp: true,
    hasCarrier: true,
    isLoopback: false,
    addresses: [self],
    subnets: [parsePrefix('192.0.2.0/24') as Prefix],
    isDefaultRoute: true,
    defaultMetrics: { 4: 0 },
    peerIndex: undefined,
    masterIndex: undefined,
    vxlanPort: undefined,
    ...changes,
  }
}

type Orders = Readonly<Record<string, readonly Address[]>>

function egressIpsOf(orders: Orders): ReadonlyMap<Address, EgressIp> {
  return new Map(Object.entries(orders).map(([text, order]) => [address(text), { order } as EgressIp]))
}

/** As much of the tables as failover reads. */
export function tablesWith(
  orders: Orders,
  witnesses: readonly Address[] = [],
  ownerless: readonly Address[] = [],
): Tables {
  return {
    ownerless: new Set(ownerless),
    orphaned: new Map(),
    self: { tunnelAddress: self },
    egressIps: egressIpsOf(orders),
    groups: new Map(),
    poolAddresses: new Map(),
    witnesses,
  } as unknown as Tables
}

/** The rules of failover on a node whose kernel does at once what it is told. */
export class FailoverUnderTest {
  state: FailoverState
  nowMs = 1_000_000
  effects: FailoverEffect[] = []
  /** What is being announced. */
  readonly announced = new Set<Address>()
  /** The absence after which this node counts as alive; undefined while it does not. */
  aliveAfterAbsence: number | undefined

  constructor(held: ReadonlyMap<Address, string> = new Map(), inherited: readonly Address[] = []) {
    this.state = startOfFailover('worker', held, inherited)
  }

  step(event: FailoverEvent): void {
    const now = { ms: this.nowMs, ns: BigInt(this.nowMs) * 1_000_000n }
    const { state, effects } = stepFailover(this.state, event, now)
    this.state = state
    for (const effect of effects) this.#apply(effect)
  }

  #apply(effect: FailoverEffect): void {
    this.effects.push(effect)
    switch (effect.kind) {
      case 'move': {
        const { placed } = effect.plan
        const added = [...placed.keys()].filter((each) => !this.state.held.has(each))
        this.step({ kind: 'moved', plan: effect.plan, added, held: placed, problems: [] })
        break
      }
      case 'announce':
        this.announced.add(effect.address)
        break
      case 'stopAnnouncing':
        if (effect.address === undefined) this.announced.clear()
        else this.announced.delete(effect.address)
        break
      case 'answerProbes':
        this.aliveAfterAbsence = effect.absence
        break
      case 'refuseProbes':
        this.aliveAfterAbsence = undefined
        break
    }
  }

  /** The kinds of what followed since the last call. */
  kinds(): readonly string[] {
    const kinds = this.effects.map(({ kind }) => kind).filter((kind) => kind !== 'log')
    this.effects = []
    return kinds
  }

  /** The agent starts, lists everything and writes tables. */
  start(orders: Orders, devices: readonly NodeDevice[] = [device()]): this {
    this.step({ kind: 'started' })
    this.apply(orders, devices)
    this.relisted()
    this.settled()
    this.kinds()
    return this
  }

  apply(
    orders: Orders,
    devices: readonly NodeDevice[] = [device()],
    ownerless: readonly Address[] = [],
  ): void {
    const tables = tablesWith(orders, [], ownerless)
    this.step({ kind: 'tablesApplied', tables, lingering: new Map(), devices })
  }

  relisted(rejoin: number = this.state.rejoins): void {
    this.step({ kind: 'relisted', rejoin })
  }

  settled(rejoin: number = this.state.rejoins): void {
    this.step({ kind: 'settled', rejoin })
  }

  unreachable(...gateways: readonly Address[]): void {
    this.#judge(gateways, { isUnreachable: true, isWitnessed: true })
  }

  reachable(...gateways: readonly Address[]): void {
    this.#judge(gateways, { isUnreachable: false, isWitnessed: false })
  }

  #judge(gateways: readonly Address[], verdict: { isUnreachable: boolean; isWitnessed: boolean }): void {
    this.step({ kind: 'verdicts', changes: gateways.map((gateway) => [gateway, verdict] as const) })
  }

  pass(ms: number, { receivesNothing = false } = {}): void {
    this.nowMs += ms
    this.step({ kind: 'tick', receivesNothing })
  }

  holds(address: Address = egressIp): boolean {
    return this.state.held.has(address)
  }
}
