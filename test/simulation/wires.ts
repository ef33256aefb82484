import type { Address } from '../../src/net/address.ts'
import type { Machine } from './machine.ts'
import type { Random } from './random.ts'
import type { VirtualClock } from './virtual-clock.ts'

/**
 * What can be cut by itself: tunnel packets (a firewall filters their port), packets between nodes without a tunnel (a switch filters
 * addresses that are not the sender's own), or everything on the link.
 */
export type WireKind = 'tunnel' | 'direct' | 'link'

/** How packets travel between machines: with delay, loss and cuts, each way by itself. */
export class Wires {
  readonly #clock: VirtualClock
  readonly #random: Random
  readonly #cut = new Map<string, number>()
  lossPercent = 0
  /** Of one way, ms. */
  delayMs = 0.2
  jitterMs = 0.3
  /** When anything was last cut, mended or lossy. */
  changedAtUs = 0

  constructor(clock: VirtualClock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  /** `*` stands for any machine. Cuts add up. */
  cut(kind: WireKind, from: string, to: string): void {
    const key = `${kind} ${from} ${to}`
    this.#cut.set(key, (this.#cut.get(key) ?? 0) + 1)
    this.changedAtUs = this.#clock.nowUs
  }

  mend(kind: WireKind, from: string, to: string): void {
    const key = `${kind} ${from} ${to}`
    const left = (this.#cut.get(key) ?? 1) - 1
    if (left <= 0) this.#cut.delete(key)
    else this.#cut.set(key, left)
    this.changedAtUs = this.#clock.nowUs
  }

  setLoss(percent: number): void {
    this.lossPercent = percent
    this.changedAtUs = this.#clock.nowUs
  }

  /** Something is cut at that machine alone, or between it and another. */
  isCutAt(name: string): boolean {
    return [...this.#cut.keys()].some((key) => key.split(' ').includes(name))
  }

  isCut(kind: WireKind, from: string, to: string): boolean {
    if (this.#cut.size === 0) return false
    const kinds: ReadonlySet<WireKind> = new Set([kind, 'link'])
    return [...kinds].some((each) =>
      [`${each} ${from} ${to}`, `${each} ${from} *`, `${each} * ${to}`].some((key) => this.#cut.has(key)),
    )
  }

  /** `arrive` is called later, or never. */
  carry(kind: WireKind, from: string, to: string, arrive: () => void): void {
    if (this.isCut(kind, from, to) || this.#random.percent(this.lossPercent)) return
    this.#clock.after(this.delayMs + this.#random.next() * this.jitterMs, arrive)
  }
}

/**
 * The router of the link, which knows the MAC of each egress IP as any IPv4 host does (RFC 826): it asks when it does not know, keeps
 * the answer, believes announcements, and asks again when the machine it knew is gone.
 */
export class Router {
  readonly #clock: VirtualClock
  readonly #random: Random
  readonly #machines: () => Iterable<Machine>
  readonly #wires: Wires
  readonly #known = new Map<Address, { machine: Machine; failedAtUs: number | undefined }>()

  constructor(held: {
    clock: VirtualClock
    random: Random
    machines: () => Iterable<Machine>
    wires: Wires
  }) {
    this.#clock = held.clock
    this.#random = held.random
    this.#machines = held.machines
    this.#wires = held.wires
  }

  hear(address: Address, machine: Machine): void {
    this.#known.set(address, { machine, failedAtUs: undefined })
  }

  /** To whom a packet for that address goes now. */
  find(address: Address): Machine | undefined {
    const known = this.#known.get(address)
    if (known !== undefined && this.#answers(known.machine, address)) {
      known.failedAtUs = undefined
      return known.machine
    }
    if (known !== undefined) {
      known.failedAtUs ??= this.#clock.nowUs
      /* Its probes go unanswered for so long before it asks everybody. */
      if (this.#clock.nowUs - known.failedAtUs < unicastProbesUs) return known.machine
    }
    const holders = this.holders(address)
    if (holders.length === 0) return undefined
    const machine = this.#random.pick(holders)
    this.hear(address, machine)
    return machine
  }

  /** Who answers the question for that address on the link. */
  holders(address: Address): readonly Machine[] {
    return [...this.#machines()].filter((machine) => this.#answers(machine, address))
  }

  #answers(machine: Machine, address: Address): boolean {
    return (
      machine.isOn &&
      machine.has(address) &&
      !this.#wires.isCut('link', machine.name, 'world') &&
      !this.#wires.isCut('link', 'world', machine.name)
    )
  }
}

const unicastProbesUs = 3_000_000
