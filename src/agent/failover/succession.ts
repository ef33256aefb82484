import type { Datapath } from '../../datapath/datapath.ts'
import { sharesEgressIp, watchedGateways } from '../../decide/gateways/takeover.ts'
import type { EgressIp, Tables } from '../../decide/tables.ts'
import type { WorldNode } from '../../decide/world.ts'
import type { LinkEnd } from '../../linux/arp.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { type Address, familyOf } from '../../net/address.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import type { NodeDevice } from '../node/node-network.ts'
import { Comeback } from './hand-back.ts'
import { HeldAddresses, type HeldPlan, planHeldAddresses } from './held-addresses.ts'
import { linkOf } from './links.ts'
import { Pulse } from './pulse/pulse.ts'
import { timing } from './pulse/timing.ts'
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
  /** Resolves when every watch has been heard from the beginning, however long it takes. */
  readonly hearAnew: () => Promise<void>
  /** Resolves when the tables are written as decided after the call. */
  readonly settle: () => Promise<void>
}

/** What a node says of gateways. */
export interface Hearing {
  readonly heard: string[]
  readonly unreachable: string[]
}

const noWatch = { gateways: [], witnesses: [], sharesEgressIp: false } as const

/** Handing back is due by the clock, not by an event. */
const checkMs = 1_000

/** Who answers for which egress IP, as this node sees and does it. */
export class Succession {
  readonly #options: SuccessionOptions
  readonly #pulse: Pulse
  readonly #held: HeldAddresses
  readonly #takeover: Takeover
  readonly #comeback: Comeback
  #orders: ReadonlyMap<Address, readonly Address[]> = new Map()
  #self: Address | undefined
  #devices: readonly NodeDevice[] = []
  #plan: HeldPlan = { wanted: new Map(), problems: [] }
  #problems: readonly string[] = []
  #wasCutOff = false
  /** Why this node is no member of the cluster; undefined while it is one. */
  #outsider: string | undefined

  constructor(options: SuccessionOptions) {
    const { clock, datapath } = options
    this.#options = options
    this.#held = new HeldAddresses(options.statePath)
    this.#takeover = new Takeover({ ...options, held: this.#held })
    this.#pulse = new Pulse({
      ...options,
      onChange: () => this.#react(),
      onLapse: () => void this.#comeback.begin(),
    })
    this.#comeback = new Comeback({
      ...options,
      lapse: () => this.#pulse.lapse,
      hasTables: () => datapath.tables.egress_ips.count() > 0,
      onBegin: () => this.#takeover.stopAnnouncing(),
      speak: (lapse) => this.#speak(lapse),
    })
    /* The agent before was stopped in good order, and nobody has missed this node since. */
    const aliveUntil = datapath.tables.liveness.get(0)?.alive_until_ns ?? 0n
    if (aliveUntil > clock.monotonicNs() + timing.aliveNs) this.#pulse.setWell(0)
  }

  #speak(lapse: number): void {
    if (this.#outsider !== undefined) return
    this.#pulse.setWell(lapse)
    this.#moveAddresses()
    this.#announceOwn()
  }

  /** Addresses that the agent has put on devices: given to this node from a pool, or taken over. */
  get held(): ReadonlySet<Address> {
    return this.#held.addresses
  }

  /** Egress IPs that could not be put where they belong, in words. */
  get problems(): readonly string[] {
    return [...this.#standing(), ...this.#plan.problems, ...this.#problems]
  }

  /** This node reaches no other node through the tunnel. */
  get isCutOff(): boolean {
    return this.#pulse.cutOffSinceMs !== undefined
  }

  #standing(): readonly string[] {
    if (this.#outsider !== undefined) return [`${this.#outsider} Until then this node holds no egress IP.`]
    if (!this.isCutOff) return []
    return [
      `This node reaches no other node through the tunnel. Allow UDP port ${this.#options.tunnelPort} between nodes. Until then this node takes over no egress IP.`,
    ]
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
    void this.#comeback.begin()
    while (!signal.aborted) {
      await clock.sleep(checkMs, signal)
      if (this.#held.addresses.size > 0) this.#moveAddresses()
    }
    await this.#pulse.leave()
  }

  /**
   * The cluster does not know this node as the node itself does, and others drop what it sends. It holds nothing, refuses
   * probes, and comes back as a node that was away.
   */
  renounce(why: string): void {
    if (this.#outsider === undefined)
      this.#options.log.warn(`${why} Until then this node holds no egress IP.`)
    this.#outsider = why
    this.#pulse.setUnwell()
    this.#pulse.watch(noWatch)
    this.#plan = { wanted: new Map(), problems: [] }
    this.#self = undefined
    this.#note(this.#takeover.giveUp())
  }

  /** The tables are in the kernel now. */
  update(tables: Tables, lingering: ReadonlyMap<Address, EgressIp>, devices: readonly NodeDevice[]): void {
    const hadNone = new Set(this.#devices.flatMap(({ index, hasCarrier }) => (hasCarrier ? [] : [index])))
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
    const gateways = [...watchedGateways(this.#orders, new Set([...grouped, ...forgotten]), this.#self)]
    const witnesses = tables.witnesses.filter((witness) => !gateways.includes(witness))
    const shares = sharesEgressIp(this.#orders, this.#self)
    this.#pulse.watch({
      gateways,
      witnesses,
      link: shares ? this.#linkTo([...gateways, ...witnesses]) : undefined,
      sharesEgressIp: shares,
    })
    if (this.#outsider !== undefined) {
      this.#outsider = undefined
      void this.#comeback.begin()
    }
    this.#moveAddresses()
    const isBack = ({ index, hasCarrier }: NodeDevice): boolean => hasCarrier && hadNone.has(index)
    if (hadNone.size > 0 && this.#ownLinks().some(isBack)) void this.#comeback.begin()
  }

  /** In a cluster of two nodes, where ARP can ask whether the other one is alive: on the link of its tunnel address. */
  #linkTo([only, ...others]: readonly Address[]): LinkEnd | undefined {
    if (only === undefined || others.length > 0 || familyOf(only) !== 4) return undefined
    const device = linkOf(only, this.#devices)
    if (device?.mac === undefined || this.#self === undefined) return undefined
    return { ifindex: device.index, mac: device.mac, address: this.#self }
  }

  /** Where the neighbours of this node's own egress IPs are: what other devices do (there is one for each pod) is no news. */
  #ownLinks(): readonly NodeDevice[] {
    return [...this.#orders].flatMap(([address, [owner, ...others]]) =>
      owner === this.#self && others.length > 0 ? (linkOf(address, this.#devices) ?? []) : [],
    )
  }

  #react(): void {
    this.#moveAddresses()
    /* A node that only uses gateways reaches its only one again at the same moment as all others: what they know is not old for that. */
    if (this.#wasCutOff && !this.isCutOff && this.#ownLinks().length > 0) void this.#comeback.begin()
    this.#wasCutOff = this.isCutOff
    this.#options.onChange()
  }

  /** Whoever was away decides nothing by what it knew before. */
  #moveAddresses(): void {
    const situation = this.#situation()
    if (situation === undefined || this.#comeback.isUnderWay) return
    try {
      this.#note(this.#takeover.update(situation))
    } catch (error) {
      this.#note([`Moving egress IPs failed: ${error instanceof Error ? error.message : error}`])
    }
  }

  /** Tried again every second, and told once. */
  #note(problems: readonly string[]): void {
    for (const problem of problems) if (!this.#problems.includes(problem)) this.#options.log.warn(problem)
    this.#problems = problems
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
      cutOffSinceMs: this.#pulse.cutOffSinceMs,
      places: this.#plan.wanted,
    }
  }
}
