import type { Datapath } from '../datapath/datapath.ts'
import type { Netlink } from '../datapath/netlink.ts'
import type { EgressIp, Tables } from '../decide/tables.ts'
import { watchedGateways } from '../decide/takeover.ts'
import type { WorldNode } from '../decide/world.ts'
import type { Address } from '../net/address.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import { HeldAddresses, type HeldPlan, planHeldAddresses } from './held-addresses.ts'
import type { NodeDevice } from './node-network.ts'
import { Pulse } from './pulse/pulse.ts'
import { type Situation, Takeover } from './takeover.ts'

export interface SuccessionOptions {
  /** This node's name. */
  readonly self: string
  readonly datapath: Datapath
  readonly netlink: Netlink
  readonly tunnelPort: number
  /** What this node has put on its devices, for its next agent: a file. */
  readonly statePath: string
  readonly clock: Clock
  readonly log: Logger
  /** Somebody fell silent, or is heard again. */
  readonly onChange: () => void
}

/** What a node says of gateways. */
export interface Hearing {
  readonly heard: string[]
  readonly unreachable: string[]
}

/** Handing back is due by the clock, not by an event. */
const checkMs = 1_000

/** An agent that was gone for longer than this says nothing about tables that it has not read anew. */
const trustedPauseNs = 60_000_000_000n

/** Who answers for which egress IP, as this node sees and does it. */
export class Succession {
  readonly #options: SuccessionOptions
  readonly #pulse: Pulse
  readonly #held: HeldAddresses
  readonly #takeover: Takeover
  #orders: ReadonlyMap<Address, readonly Address[]> = new Map()
  #self: Address | undefined
  #devices: readonly NodeDevice[] = []
  #plan: HeldPlan = { wanted: new Map(), problems: [] }
  #problems: readonly string[] = []
  #wasIsolated = false

  constructor(options: SuccessionOptions) {
    const { clock } = options
    this.#options = options
    this.#held = new HeldAddresses(options.statePath)
    this.#takeover = new Takeover({ ...options, held: this.#held })
    this.#pulse = new Pulse({
      ...options,
      onChange: () => this.#react(),
      onPause: () => this.#announceOwn(),
    })
    /* Short absence, tables still there: the node is a gateway, also where the API server is away just now. */
    const { vitals, egress_ips } = options.datapath.tables
    const aliveUntil = vitals.get(0)?.alive_until_ns ?? 0n
    if (aliveUntil + trustedPauseNs > clock.monotonicNs() && egress_ips.count() > 0) this.#pulse.setWell()
  }

  /** Addresses that the agent has put on devices: given to this node from a pool, or taken over. */
  get held(): ReadonlySet<Address> {
    return this.#held.addresses
  }

  /** Egress IPs that could not be put where they belong, in words. */
  get problems(): readonly string[] {
    return [...this.#plan.problems, ...this.#problems]
  }

  /** Of the gateways that this node listens for the ones it hears, and the ones it does not: sorted names. */
  hearing(nodes: readonly WorldNode[]): Hearing {
    const lives = this.#pulse.lives
    const namesOf = (isSilent: boolean): string[] =>
      nodes
        .filter(({ internalIPs: [first] }) => first !== undefined && lives.get(first)?.isSilent === isSilent)
        .map(({ name }) => name)
        .sort()
    return { heard: namesOf(false), unreachable: namesOf(true) }
  }

  async start(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    while (!signal.aborted) {
      await clock.sleep(checkMs, signal)
      if (this.#held.addresses.size > 0) this.#moveAddresses()
    }
    await this.#pulse.leave()
  }

  /** The tables are in the kernel now. */
  update(tables: Tables, lingering: ReadonlyMap<Address, EgressIp>, devices: readonly NodeDevice[]): void {
    const isFirst = this.#self === undefined
    const isBack = devices.some(
      ({ index, hasCarrier }) =>
        hasCarrier && this.#devices.some((before) => before.index === index && !before.hasCarrier),
    )
    const egressIps = [...lingering, ...tables.egressIps]
    this.#self = tables.self.tunnelAddress
    this.#devices = devices
    this.#plan = planHeldAddresses(
      tables.poolAddresses,
      { name: this.#options.self, tunnelAddress: this.#self },
      devices,
      lingering,
      this.#held,
    )
    this.#orders = new Map(egressIps.map(([address, { order }]) => [address, order]))
    const grouped = [...tables.groups.values()].flatMap(({ preferred, standby }) => [
      ...preferred,
      ...standby,
    ])
    const forgotten = [...lingering.keys()].filter((address) => !tables.egressIps.has(address))
    this.#pulse.watch(watchedGateways(this.#orders, new Set([...grouped, ...forgotten]), this.#self))
    this.#pulse.setWell()
    this.#moveAddresses()
    if (isFirst || isBack) this.#announceOwn()
  }

  #react(): void {
    this.#moveAddresses()
    const lives = [...this.#pulse.lives.values()]
    const isIsolated = lives.length > 0 && lives.every(({ isSilent }) => isSilent)
    if (this.#wasIsolated && !isIsolated) this.#announceOwn()
    this.#wasIsolated = isIsolated
    this.#options.onChange()
  }

  #moveAddresses(): void {
    const situation = this.#situation()
    if (situation === undefined) return
    try {
      this.#problems = this.#takeover.update(situation)
    } catch (error) {
      this.#options.log.error({ err: error }, 'moving an egress IP failed; trying again')
    }
  }

  #announceOwn(): void {
    const situation = this.#situation()
    if (situation !== undefined) this.#takeover.announceOwn(situation)
  }

  #situation(): Situation | undefined {
    if (this.#self === undefined) return undefined
    return {
      orders: this.#orders,
      self: this.#self,
      gateways: this.#pulse.lives,
      devices: this.#devices,
      places: this.#plan.wanted,
    }
  }
}
