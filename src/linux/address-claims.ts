import { type Address, type Family, familyOf } from '../net/address.ts'
import { type AddressClaim, arpClaim, arpProbe } from './arp.ts'
import { check, native } from './libc.ts'
import { neighbourClaim, neighbourFilter, neighbourProbe } from './neighbour-discovery.ts'
import { etherType, filterFrames, openPacketSocket } from './packet-socket.ts'

/** Finds out which hosts of a link have an address. No call blocks: `probe` sends, and `claims` reads what has arrived. */
export interface LinkClaims extends Disposable {
  /** Asks without a sender address, so that no neighbour learns anything from it. Throws a KernelError. */
  probe(address: Address): void
  /** What hosts said on the link since the last call. Announcements and answers count. */
  claims(): readonly AddressClaim[]
}

/** How many frames one call of `claims` reads of each family. A flood must not delay its caller. */
const maxFrames = 256

/** Throws a KernelError, for example if the device does not exist. */
export function openLinkClaims(device: { readonly index: number; readonly mac: string }): LinkClaims {
  return new PacketLinkClaims(device)
}

class PacketLinkClaims implements LinkClaims {
  readonly #device: { readonly index: number; readonly mac: string }
  readonly #sockets = new Map<Family, number>()
  readonly #buffer = Buffer.alloc(128)

  constructor(device: { readonly index: number; readonly mac: string }) {
    this.#device = device
    this.#socket(4)
  }

  /** That of IPv6 is opened when it is needed first. */
  #socket(family: Family): number {
    const known = this.#sockets.get(family)
    if (known !== undefined) return known
    const fd = openPacketSocket(this.#device.index, family === 4 ? etherType.arp : etherType.ipv6)
    this.#sockets.set(family, fd)
    if (family === 6) filterFrames(fd, neighbourFilter)
    return fd
  }

  probe(address: Address): void {
    const family = familyOf(address)
    const { index, mac } = this.#device
    const frame = family === 4 ? arpProbe(mac, address) : neighbourProbe(mac, address)
    check(
      `probe for ${address} on device ${index}`,
      native.send(this.#socket(family), frame, frame.length, 0),
    )
  }

  claims(): readonly AddressClaim[] {
    return [...this.#sockets].flatMap(([family, fd]) =>
      this.#read(fd, family === 4 ? arpClaim : neighbourClaim),
    )
  }

  #read(fd: number, claimIn: (frame: Uint8Array) => AddressClaim | undefined): readonly AddressClaim[] {
    const found: AddressClaim[] = []
    for (let frames = 0; frames < maxFrames; frames++) {
      const length = native.recv(fd, this.#buffer, this.#buffer.length, 0)
      if (length <= 0) break
      const claim = claimIn(this.#buffer.subarray(0, length))
      if (claim !== undefined) found.push(claim)
    }
    return found
  }

  [Symbol.dispose](): void {
    for (const fd of this.#sockets.values()) native.close(fd)
    this.#sockets.clear()
  }
}
