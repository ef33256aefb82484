import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { announce } from '../datapath/announce.ts'
import { deleteAddress, putAddress } from '../datapath/device-addresses.ts'
import { isKernelError } from '../datapath/libc.ts'
import type { Netlink } from '../datapath/netlink.ts'
import { flapMemoryMs, planTakeovers, type TakeoverSituation } from '../decide/takeover.ts'
import { type Address, familyOf } from '../net/address.ts'
import { contains } from '../net/prefix.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import type { NodeDevice } from './node-network.ts'

export interface TakeoverOptions {
  readonly netlink: Netlink
  /** What this node has taken, for its next agent: a file. */
  readonly statePath: string
  readonly clock: Clock
  readonly log: Logger
}

/** Announcements get lost, and some switches and caches ignore the first; ms after the address came. */
const announceAfterMs = [0, 50, 200, 600, 1_500] as const

type Situation = Pick<TakeoverSituation, 'orders' | 'self' | 'gateways'>

/**
 * This node as a successor, and as an owner that comes back: addresses that it answers for in another's place are put on
 * the device that has their link, and announced. What it added it knows from a file, and removes nothing else.
 */
export class Takeover {
  readonly #options: TakeoverOptions
  /** By address: the device that it was put on. */
  readonly #taken: Map<Address, number>
  readonly #takenAtMs = new Map<Address, number[]>()
  readonly #timers = new Map<Address, NodeJS.Timeout[]>()

  constructor(options: TakeoverOptions) {
    this.#options = options
    this.#taken = readTaken(options.statePath)
  }

  /** Addresses that are this node's for a while only: nobody may take them for its own. */
  get taken(): ReadonlySet<Address> {
    return new Set(this.#taken.keys())
  }

  /** Takes and gives back what the situation asks for. Called on every change, and now and then for what is due. */
  update(situation: Situation, devices: readonly NodeDevice[]): void {
    const { clock } = this.#options
    const nowMs = clock.now()
    const taken = new Map(
      [...this.#taken.keys()].map((address) => [address, { times: this.#timesOf(address, nowMs) }] as const),
    )
    const wanted = planTakeovers({ ...situation, taken, nowMs })
    for (const address of taken.keys()) if (!wanted.has(address)) this.#giveBack(address)
    for (const address of wanted) if (!taken.has(address)) this.#take(address, devices, nowMs)
  }

  #timesOf(address: Address, nowMs: number): number {
    const recent = (this.#takenAtMs.get(address) ?? []).filter((atMs) => nowMs - atMs < flapMemoryMs)
    return Math.max(recent.length, 1)
  }

  #take(address: Address, devices: readonly NodeDevice[], nowMs: number): void {
    const { netlink, log } = this.#options
    const device = linkOf(address, devices)
    if (device === undefined) {
      log.warn({ egressIP: address }, 'no device has the link of the address: nobody answers for it')
      return
    }
    this.#taken.set(address, device.index)
    this.#save()
    putAddress(netlink, {
      index: device.index,
      address,
      prefixLength: wholeLength(address),
      hasPrefixRoute: false,
    })
    const before = this.#takenAtMs.get(address) ?? []
    this.#takenAtMs.set(address, [...before.filter((atMs) => nowMs - atMs < flapMemoryMs), nowMs])
    this.#announce(address, device)
    log.warn({ egressIP: address, device: device.name }, 'taken over: its gateway is silent')
  }

  #giveBack(address: Address): void {
    const { netlink, log } = this.#options
    const index = this.#taken.get(address) ?? 0
    this.#silence(address)
    try {
      deleteAddress(netlink, { index, address, prefixLength: wholeLength(address) })
    } catch (error) {
      if (!isKernelError(error, 'EADDRNOTAVAIL', 'ENODEV')) throw error
    }
    this.#taken.delete(address)
    this.#save()
    log.info({ egressIP: address }, 'handed back')
  }

  /** This node has come back, or its link has: it says where its own addresses are. It says nothing of others'. */
  announceOwn({ orders, self }: Situation, devices: readonly NodeDevice[]): void {
    for (const [address, order] of orders) {
      if (order[0] !== self || order.length < 2) continue
      const isHere = devices.some(({ addresses }) => addresses.includes(address))
      const device = isHere ? linkOf(address, devices) : undefined
      if (device !== undefined) this.#announce(address, device)
    }
  }

  #announce(address: Address, device: NodeDevice): void {
    this.#silence(address)
    const { index, mac } = device
    if (mac === undefined) return
    this.#timers.set(
      address,
      announceAfterMs.map((ms) => setTimeout(() => this.#announceOnce({ index, mac }, address), ms).unref()),
    )
  }

  #announceOnce(device: { readonly index: number; readonly mac: string }, address: Address): void {
    try {
      announce(device, address)
    } catch (error) {
      this.#options.log.warn({ err: error, egressIP: address }, 'the announcement failed')
    }
  }

  #silence(address: Address): void {
    for (const timer of this.#timers.get(address) ?? []) clearTimeout(timer)
    this.#timers.delete(address)
  }

  #save(): void {
    const { statePath } = this.#options
    writeFileSync(`${statePath}.new`, JSON.stringify([...this.#taken]), { mode: 0o600 })
    renameSync(`${statePath}.new`, statePath)
  }
}

function readTaken(path: string): Map<Address, number> {
  try {
    return new Map(JSON.parse(readFileSync(path, 'utf8')) as [Address, number][])
  } catch {
    return new Map() /* the first start, or a machine that crashed: its devices are new, too */
  }
}

function wholeLength(address: Address): number {
  return familyOf(address) === 4 ? 32 : 128
}

/** The device that reaches the address's neighbours: one that carries packets rather than one that only holds addresses. */
export function linkOf(address: Address, devices: readonly NodeDevice[]): NodeDevice | undefined {
  const candidates = devices.filter(
    ({ isUp, mac, subnets }) =>
      isUp && mac !== undefined && subnets.some((subnet) => contains(subnet, address)),
  )
  return (
    candidates.find(({ hasCarrier, kind }) => hasCarrier && kind !== 'dummy' && kind !== 'ifb') ??
    candidates[0]
  )
}
