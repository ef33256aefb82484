import { flapMemoryMs, planTakeovers, type TakeoverSituation } from '../../decide/gateways/takeover.ts'
import { announce } from '../../linux/announce.ts'
import type { Netlink } from '../../linux/netlink.ts'
import type { Address } from '../../net/address.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import type { NodeDevice } from '../node/node-network.ts'
import { type HeldAddresses, syncHeldAddresses } from './held-addresses.ts'
import { linkOf } from './links.ts'
import { planProxiedAddresses, syncProxiedAddresses } from './proxied-addresses.ts'
import { timing } from './pulse/timing.ts'

export interface TakeoverOptions {
  readonly netlink: Netlink
  readonly held: HeldAddresses
  readonly clock: Clock
  readonly log: Logger
}

/** Announcements get lost, and some switches and caches ignore the first; ms after the address came. */
const announceAfterMs = [0, 50, 200, 600, 1_500] as const

export interface Situation extends Pick<TakeoverSituation, 'orders' | 'self' | 'gateways' | 'cutOffSinceMs'> {
  readonly devices: readonly NodeDevice[]
  /** Addresses from pools that are this node's own, with the device's name. */
  readonly places: ReadonlyMap<Address, string>
}

/**
 * This node as the holder of egress IPs: those that it was given, and those that it answers for in another's place, are
 * put on a device that has their link, and announced.
 */
export class Takeover {
  readonly #options: TakeoverOptions
  readonly #takenAtMs = new Map<Address, number[]>()
  readonly #timers = new Map<Address, NodeJS.Timeout[]>()

  constructor(options: TakeoverOptions) {
    this.#options = options
  }

  /** Takes and gives back what the situation asks for. Called on every change, and now and then for what is due. Returns problems. */
  update(situation: Situation): readonly string[] {
    const { netlink, held, clock, log } = this.#options
    const nowMs = clock.monotonicMs()
    const before = new Set([...held.addresses].filter((address) => !isOwn(address, situation)))
    const taken = new Map([...before].map((address) => [address, { times: this.#timesOf(address, nowMs) }]))
    const wanted = planTakeovers({ ...situation, taken, nowMs })
    const { placed, homeless } = place(wanted, situation)
    const { added, problems } = syncHeldAddresses(netlink, placed, held)
    for (const address of before) if (!placed.has(address)) this.#leave(address)
    for (const address of added) {
      const device = situation.devices.find(({ name }) => name === placed.get(address))
      if (device !== undefined) this.#announce(address, device)
      if (!wanted.has(address)) continue
      this.#takenAtMs.set(address, [...this.#recent(address, nowMs), nowMs])
      log.warn(
        { egressIP: address, device: device?.name },
        'took over the egress IP: its gateway is unreachable',
      )
    }
    return [...homeless, ...problems, ...this.#answerForOwn(situation)]
  }

  /** This node is no member of the cluster: takes every address off its devices that the agent has put there. Returns problems. */
  giveUp(): readonly string[] {
    const { netlink, held, log } = this.#options
    this.stopAnnouncing()
    const before = held.addresses
    const { problems } = syncHeldAddresses(netlink, new Map(), held)
    const answering = syncProxiedAddresses(netlink, [])
    const given = [...before].filter((address) => !held.addresses.has(address))
    if (given.length > 0)
      log.warn({ egressIPs: given }, 'gave up all egress IPs: this node is not a member of the cluster')
    return [...problems, ...answering]
  }

  #answerForOwn(situation: Situation): readonly string[] {
    const own = [...situation.orders.keys()].filter((address) => isOwn(address, situation))
    return syncProxiedAddresses(this.#options.netlink, planProxiedAddresses(own, situation.devices))
  }

  #leave(address: Address): void {
    this.#silence(address)
    this.#options.log.info({ egressIP: address }, 'handed back the egress IP')
  }

  #timesOf(address: Address, nowMs: number): number {
    return Math.max(this.#recent(address, nowMs).length, 1)
  }

  #recent(address: Address, nowMs: number): readonly number[] {
    return (this.#takenAtMs.get(address) ?? []).filter((atMs) => nowMs - atMs < flapMemoryMs)
  }

  /** This node has come back, or its link has: it says where its own addresses are. It says nothing of others'. */
  announceOwn(situation: Situation): void {
    for (const [address, order] of situation.orders) {
      if (!isOwn(address, situation) || order.length < 2) continue
      const isHere = situation.devices.some(({ addresses }) => addresses.includes(address))
      const device = isHere ? linkOf(address, situation.devices) : undefined
      if (device !== undefined) this.#announce(address, device)
    }
  }

  #announce(address: Address, device: NodeDevice): void {
    this.#silence(address)
    const { index, mac } = device
    if (mac === undefined) return
    const { clock } = this.#options
    const began = clock.monotonicNs()
    const announceAt = (ms: number): void => {
      const lateNs = clock.monotonicNs() - began - BigInt(ms) * 1_000_000n
      if (lateNs < timing.silenceNs) this.#announceOnce({ index, mac }, address)
    }
    this.#timers.set(
      address,
      announceAfterMs.map((ms) => setTimeout(announceAt, ms, ms).unref()),
    )
  }

  /** What is still to be announced was decided before this node stood still: it may be another's by now. */
  stopAnnouncing(): void {
    for (const address of [...this.#timers.keys()]) this.#silence(address)
  }

  #announceOnce(device: { readonly index: number; readonly mac: string }, address: Address): void {
    try {
      announce(device, address)
    } catch (error) {
      this.#options.log.warn({ err: error, egressIP: address }, 'announcing the egress IP failed')
    }
  }

  #silence(address: Address): void {
    for (const timer of this.#timers.get(address) ?? []) clearTimeout(timer)
    this.#timers.delete(address)
  }
}

/** Where each address is to be, by the device's name. Those come first whose flows wait for somebody. */
function place(
  wanted: ReadonlySet<Address>,
  { places, devices }: Situation,
): { readonly placed: ReadonlyMap<Address, string>; readonly homeless: readonly string[] } {
  const placed = new Map<Address, string>()
  const homeless: string[] = []
  for (const address of wanted) {
    const device = linkOf(address, devices)
    if (device !== undefined) placed.set(address, device.name)
    else
      homeless.push(
        `The gateway of egress IP ${address} is unreachable, and this node cannot take the address over because none of its devices is on the same link.`,
      )
  }
  return { placed: new Map([...placed, ...places]), homeless }
}

function isOwn(address: Address, { orders, self }: Pick<Situation, 'orders' | 'self'>): boolean {
  return orders.get(address)?.[0] === self
}
