import type { Configuration } from '../../install/configuration.ts'
import type { LinkClaims } from '../../linux/address-claims.ts'
import type { AddressClaim } from '../../linux/arp.ts'
import type { Machine } from '../../linux/machine.ts'
import type { Address } from '../../net/address.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import type { ClaimLink } from './address-claims.ts'

/**
 * When an address is probed before its first use. Pods wait for the address, so this is shorter than the RFC's 4 to 7 seconds.
 * A host answers within milliseconds; two of three probes may be lost.
 */
const probeAfterMs = [0, 200, 400] as const
const probedAfterMs = 700
/** The interval between two probes of a watched address. A host that uses the address may announce nothing. */
const watchMs = 10_000

interface AddressWatchOptions {
  readonly machine: Pick<Machine, 'openLinkClaims'>
  readonly clock: Clock
  readonly log: Logger
  /** Without probes, every address counts as free. */
  readonly configuration: Pick<Configuration, 'probesAddresses'>
  readonly onClaim: (claim: AddressClaim) => void
  readonly onProbed: (address: Address) => void
}

/** Asks the hosts of a link for addresses, and listens to what they claim. */
export class AddressWatch implements Disposable {
  readonly #options: AddressWatchOptions
  /** By device. */
  readonly #links = new Map<number, LinkClaims>()
  readonly #probing = new Map<
    Address,
    { readonly link: ClaimLink; readonly stops: readonly (() => void)[] }
  >()
  #watched: ReadonlyMap<Address, ClaimLink> = new Map()
  #askedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: AddressWatchOptions) {
    this.#options = options
  }

  /** Sends the probes of an address, and says when the time for answers is over. */
  probe(address: Address, link: ClaimLink): void {
    this.#stopProbing(address)
    const { clock, onProbed } = this.#options
    const end = (): void => {
      this.#probing.delete(address)
      this.read()
      onProbed(address)
    }
    const isAsked = this.#options.configuration.probesAddresses
    const asks = (isAsked ? probeAfterMs : []).map((ms) => clock.after(ms, () => this.#ask(address, link)))
    const stopEnd = clock.after(isAsked ? probedAfterMs : 0, end)
    this.#probing.set(address, { link, stops: [...asks, stopEnd] })
  }

  #stopProbing(address: Address): void {
    for (const stop of this.#probing.get(address)?.stops ?? []) stop()
    this.#probing.delete(address)
  }

  /** Replaces what is watched. An address that is not among these is no longer probed either. */
  watch(links: ReadonlyMap<Address, ClaimLink>): void {
    this.#watched = links
    for (const address of this.#probing.keys()) if (!links.has(address)) this.#stopProbing(address)
    const used = new Set([...links.values()].map(({ index }) => index))
    for (const index of this.#links.keys()) if (!used.has(index)) this.#close(index)
  }

  /** Call it every second. */
  tick(): void {
    const { clock, configuration } = this.#options
    const nowMs = clock.monotonicMs()
    this.read()
    if (!configuration.probesAddresses) return
    if (nowMs - this.#askedAtMs < watchMs) return
    this.#askedAtMs = nowMs
    for (const [address, link] of this.#watched) if (!this.#probing.has(address)) this.#ask(address, link)
  }

  /** Reports what has arrived. */
  read(): void {
    for (const link of this.#links.values())
      for (const claim of link.claims()) if (this.#watched.has(claim.address)) this.#options.onClaim(claim)
  }

  /** A device may be gone before the next tables say so. */
  #ask(address: Address, { index, mac }: ClaimLink): void {
    try {
      const link = this.#links.get(index) ?? this.#options.machine.openLinkClaims({ index, mac })
      this.#links.set(index, link)
      link.probe(address)
    } catch (error) {
      this.#close(index)
      this.#options.log.debug({ err: error, egressIP: address }, 'asking for the egress IP failed')
    }
  }

  #close(index: number): void {
    this.#links.get(index)?.[Symbol.dispose]()
    this.#links.delete(index)
  }

  [Symbol.dispose](): void {
    this.watch(new Map())
  }
}
