import type { Datapath } from '../datapath/datapath.ts'
import type { Netlink } from '../datapath/netlink.ts'
import type { EgressIp, Tables } from '../decide/tables.ts'
import { watchedGateways } from '../decide/takeover.ts'
import type { WorldNode } from '../decide/world.ts'
import type { Address } from '../net/address.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import type { NodeDevice } from './node-network.ts'
import { Pulse } from './pulse/pulse.ts'
import { Takeover } from './takeover.ts'

export interface SuccessionOptions {
  readonly datapath: Datapath
  readonly netlink: Netlink
  readonly tunnelPort: number
  readonly statePath: string
  readonly clock: Clock
  readonly log: Logger
  /** Somebody fell silent, or is heard again. */
  readonly onChange: () => void
}

/** Handing back is due by the clock, not by an event. */
const checkMs = 500

/** An agent that was gone for longer than this says nothing about tables that it has not read anew. */
const trustedPauseNs = 60_000_000_000n

/** Who answers for which egress IP, as this node sees and does it. */
export class Succession {
  readonly #options: SuccessionOptions
  readonly #pulse: Pulse
  readonly #takeover: Takeover
  #orders: ReadonlyMap<Address, readonly Address[]> = new Map()
  #self: Address | undefined
  #devices: readonly NodeDevice[] = []
  #wasIsolated = false

  constructor(options: SuccessionOptions) {
    const { clock } = options
    this.#options = options
    this.#takeover = new Takeover(options)
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

  get taken(): ReadonlySet<Address> {
    return this.#takeover.taken
  }

  /** By name. */
  silentNodes(nodes: readonly WorldNode[]): ReadonlySet<string> {
    const silent = this.#pulse.silent
    return new Set(
      nodes
        .filter(({ internalIPs: [first] }) => first !== undefined && silent.has(first))
        .map(({ name }) => name),
    )
  }

  async start(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    while (!signal.aborted) {
      await clock.sleep(checkMs, signal)
      if (this.#takeover.taken.size > 0) this.#moveAddresses()
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
      this.#takeover.update(situation, this.#devices)
    } catch (error) {
      this.#options.log.error({ err: error }, 'moving an egress IP failed; trying again')
    }
  }

  #announceOwn(): void {
    const situation = this.#situation()
    if (situation !== undefined) this.#takeover.announceOwn(situation, this.#devices)
  }

  #situation() {
    return this.#self === undefined
      ? undefined
      : { orders: this.#orders, self: this.#self, gateways: this.#pulse.lives }
  }
}
