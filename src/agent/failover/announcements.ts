import type { Machine } from '../../linux/machine.ts'
import type { Address } from '../../net/address.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import { timing } from './pulse/timing.ts'

/**
 * When an address is announced, in ms after it was added. It is repeated, because packets get lost, and some switches and
 * caches ignore the first one.
 */
const announceAfterMs = [0, 50, 200, 600, 1_500] as const

interface AnnouncementsOptions {
  readonly machine: Pick<Machine, 'announce'>
  readonly clock: Clock
  readonly log: Logger
}

/** Announces an address several times to the hosts on a link. */
export class Announcements {
  readonly #options: AnnouncementsOptions
  readonly #stops = new Map<Address, readonly (() => void)[]>()

  constructor(options: AnnouncementsOptions) {
    this.#options = options
  }

  announce(address: Address, device: { readonly index: number; readonly mac: string }): void {
    this.stop(address)
    const { clock } = this.#options
    const beganNs = clock.monotonicNs()
    const announceAt = (ms: number): void => {
      const lateNs = clock.monotonicNs() - beganNs - BigInt(ms) * 1_000_000n
      /* The timer is late because this node stood still. The address may belong to another node by now. */
      if (lateNs < timing.silenceNs) this.announceOnce(device, address)
    }
    this.#stops.set(
      address,
      announceAfterMs.map((ms) => clock.after(ms, () => announceAt(ms))),
    )
  }

  announceOnce(device: { readonly index: number; readonly mac: string }, address: Address): void {
    try {
      this.#options.machine.announce(device, address)
    } catch (error) {
      this.#options.log.warn({ err: error, egressIP: address }, 'announcing the egress IP failed')
    }
  }

  stop(address: Address): void {
    for (const stop of this.#stops.get(address) ?? []) stop()
    this.#stops.delete(address)
  }

  stopAll(): void {
    for (const address of [...this.#stops.keys()]) this.stop(address)
  }
}
