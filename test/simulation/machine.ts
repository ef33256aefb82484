import type { Program } from '../../src/datapath/datapath.ts'
import { putAddress } from '../../src/linux/device-addresses.ts'
import { findDevice } from '../../src/linux/devices.ts'
import { putRoute } from '../../src/linux/routes.ts'
import type { Address } from '../../src/net/address.ts'
import { type Prefix, parsePrefix } from '../../src/net/prefix.ts'
import { KernelNetwork, netlinkOf } from './kernel-network.ts'
import type { LoadedPrograms } from './loaded-programs.ts'
import type { MachineTime } from './process.ts'
import type { Random } from './random.ts'
import type { RunResult } from './run-record.ts'
import type { VirtualClock } from './virtual-clock.ts'

export const linkPrefixLength = 16
export const router = '172.18.0.1' as Address
const everywhere = parsePrefix('0.0.0.0/0') as Prefix
const mtu = 1500

/** What became of a packet that a program has seen. */
export interface Outcome {
  readonly result: RunResult
  readonly out: Buffer
}

/**
 * A computer: its kernel with network, programs and maps, and its clocks. Agents come and go on it. It can be off, and it can stand
 * still as a virtual machine does whose host is busy: then nothing on it moves, but its clocks go on.
 */
export class Machine implements MachineTime {
  readonly name: string
  readonly address: Address
  network: KernelNetwork
  readonly programs: LoadedPrograms
  /** By which the world reaches it. */
  uplink: number
  readonly #namespaces: ReadonlyMap<string, KernelNetwork>
  readonly #clock: VirtualClock
  #bootedAtUs: number
  #uptimeAtBootNs: bigint
  #epochMs: number
  #randomState: bigint
  #overlay: number | undefined
  isOn = true
  /** Its kernel has started anew, and its tables were empty then. */
  boots = 0
  isStandingStill = false

  constructor(
    name: string,
    address: Address,
    held: {
      clock: VirtualClock
      random: Random
      programs: LoadedPrograms
      epochMs: number
      namespaces: ReadonlyMap<string, KernelNetwork>
    },
  ) {
    this.name = name
    this.address = address
    this.#clock = held.clock
    this.programs = held.programs
    this.#bootedAtUs = held.clock.nowUs
    this.#uptimeAtBootNs = BigInt(held.random.within(10, 1_000_000)) * 1_000_000_000n
    this.#epochMs = held.epochMs
    this.#randomState = BigInt(held.random.within(0, 2 ** 31))
    this.#namespaces = held.namespaces
    this.network = new KernelNetwork(held.namespaces)
    this.uplink = this.#setUp()
  }

  #setUp(): number {
    const uplink = this.network.addDevice('eth0', mtu)
    const netlink = netlinkOf(this.network, () => {})
    putAddress(netlink, { index: uplink, address: this.address, prefixLength: linkPrefixLength })
    putRoute(netlink, { destination: everywhere, kind: 'unicast', via: router, ifindex: uplink })
    this.programs.datapath.tables.simulated_routes.set(everywhere, { ifindex: uplink, mtu })
    return uplink
  }

  /** With an empty kernel. Its monotonic clock starts at zero. */
  boot(): void {
    this.programs.clear()
    this.network = new KernelNetwork(this.#namespaces)
    this.#overlay = undefined
    this.uplink = this.#setUp()
    this.#bootedAtUs = this.#clock.nowUs
    this.#uptimeAtBootNs = 5_000_000_000n
    this.isOn = true
    this.boots += 1
  }

  /** Of its own, on a second device, as an administrator gives it. */
  addOwnAddress(address: Address, device: string): void {
    const index =
      findDevice(
        netlinkOf(this.network, () => {}),
        device,
      )?.index ?? this.network.addDevice(device, mtu)
    putAddress(
      netlinkOf(this.network, () => {}),
      { index, address, prefixLength: linkPrefixLength },
    )
  }

  has(address: Address): boolean {
    return this.network.addresses.some((each) => each.address === address)
  }

  /** It is on and does something. */
  get isMoving(): boolean {
    return this.isOn && !this.isStandingStill
  }

  monotonicNs(): bigint {
    return this.#uptimeAtBootNs + BigInt(Math.round(this.#clock.nowUs - this.#bootedAtUs)) * 1000n
  }

  epochMs(): number {
    return Math.floor(this.#epochMs + this.#clock.nowMs)
  }

  /** Sets the time of day. */
  setTimeOfDay(byMs: number): void {
    this.#epochMs += byMs
  }

  beforeRun(ifindex = 0, tunnel?: { readonly vni: number; readonly from: Address }): void {
    this.programs.runRecord.write({
      nowNs: this.monotonicNs(),
      random: this.#randomState,
      ifindex,
      vni: tunnel?.vni ?? 0,
      tunnelSource: tunnel?.from,
    })
  }

  /** Undefined where the program is not attached to that device: the packet goes to the stack as it is. */
  run(
    program: Program,
    ifindex: number,
    packet: Buffer,
    tunnel?: { readonly vni: number; readonly from: Address },
  ): Outcome | undefined {
    if (!this.programs.isAttached(program, ifindex)) return undefined
    const { datapath, runRecord } = this.programs
    this.beforeRun(ifindex, tunnel)
    const { out } = datapath.testRun(program, packet)
    const result = runRecord.read()
    this.#randomState = result.random
    return { result, out }
  }

  /** Of the device that leads to the link. */
  get mac(): string {
    return this.network.macOf(this.uplink) ?? ''
  }

  deviceIndex(name: string): number | undefined {
    return findDevice(
      netlinkOf(this.network, () => {}),
      name,
    )?.index
  }

  /** The tunnel's device, since the agent has made it. */
  get overlay(): number | undefined {
    this.#overlay ??= this.deviceIndex('sallyport')
    return this.#overlay
  }
}
