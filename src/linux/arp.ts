import type { Address } from '../net/address.ts'
import { macBytes, macText } from '../net/mac.ts'
import { native } from './libc.ts'
import { fromKernelBytes, kernelBytes } from './network-address.ts'
import { broadcastMac, ethernet, etherType, openPacketSocket } from './packet-socket.ts'

const operations = { request: 1, reply: 2 } as const
const hardware = { ethernet: 1, macLength: 6, ipv4Length: 4 } as const
const frameLength = 60

/** Sender and target of an ARP packet (RFC 826). A request does not know the target's MAC. */
interface ArpPacket {
  readonly operation: keyof typeof operations
  readonly sender: { readonly mac: string; readonly address: Address }
  readonly target: { readonly mac?: string; readonly address: Address }
}

/** The whole broadcast frame. */
export function arpFrame({ operation, sender, target }: ArpPacket): Buffer {
  const arp = Buffer.alloc(28)
  arp.writeUInt16BE(hardware.ethernet, 0)
  arp.writeUInt16BE(etherType.ipv4, 2)
  arp.set([hardware.macLength, hardware.ipv4Length], 4)
  arp.writeUInt16BE(operations[operation], 6)
  arp.set(macBytes(sender.mac), 8)
  arp.set(kernelBytes(sender.address), 14)
  if (target.mac !== undefined) arp.set(macBytes(target.mac), 18)
  arp.set(kernelBytes(target.address), 24)
  return pad(Buffer.concat([ethernet(broadcastMac, macBytes(sender.mac), etherType.arp), arp]))
}

function pad(frame: Buffer): Buffer {
  return Buffer.concat([frame, Buffer.alloc(Math.max(frameLength - frame.length, 0))])
}

/** A host on a link says that an address is its own. */
export interface AddressClaim {
  readonly address: Address
  readonly mac: string
  /** It only asks, before it uses the address, whether another host has it. */
  readonly isProbe: boolean
}

const anyAddress = Buffer.alloc(4)

/** Asks whether a host has an address, as one asks before it uses the address (RFC 5227 section 2.1.1). No cache learns from it. */
export function arpProbe(mac: string, address: Address): Buffer {
  return arpFrame({
    operation: 'request',
    sender: { mac, address: fromKernelBytes(anyAddress) },
    target: { address },
  })
}

/** Whose address an ARP packet says it is: the sender's, or that for which the sender probes. Undefined for any other frame. */
export function arpClaim(frame: Uint8Array): AddressClaim | undefined {
  if (frame.length < 42) return undefined
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  const isArp =
    view.readUInt16BE(12) === etherType.arp &&
    view.readUInt16BE(14) === hardware.ethernet &&
    view.readUInt16BE(16) === etherType.ipv4 &&
    view.readUInt16BE(18) === hardware.macLength * 256 + hardware.ipv4Length
  if (!isArp) return undefined
  const isProbe = view.subarray(28, 32).equals(anyAddress)
  const from = isProbe ? 38 : 28
  return {
    address: fromKernelBytes(view.subarray(from, from + 4)),
    mac: macText(view.subarray(22, 28)),
    isProbe,
  }
}

/** The sender's IPv4 address in an ARP request or reply. Undefined for any other frame, and for an address probe. */
export function arpSender(frame: Uint8Array): Address | undefined {
  const claim = arpClaim(frame)
  return claim?.isProbe ? undefined : claim?.address
}

/** The device and the address from which neighbours are asked. */
export interface LinkEnd {
  readonly ifindex: number
  readonly mac: string
  readonly address: Address
}

/** How many frames one call of `answers` reads. A flood of ARP must not delay its caller. */
const maxFrames = 64

/** Finds out by ARP which addresses are present on a link. No call blocks: `ask` sends, and `answers` reads what has arrived. */
export class LinkQuestions implements Disposable {
  readonly #end: LinkEnd
  readonly #fd: number
  readonly #buffer = Buffer.alloc(128)

  /** Throws a KernelError, for example if the device does not exist. */
  constructor(end: LinkEnd) {
    this.#end = end
    this.#fd = openPacketSocket(end.ifindex, etherType.arp)
  }

  /** Returns false if the request could not be sent. */
  ask(address: Address): boolean {
    const { mac, address: own } = this.#end
    const frame = arpFrame({
      operation: 'request',
      sender: { mac, address: own },
      target: { address },
    })
    return native.send(this.#fd, frame, frame.length, 0) === frame.length
  }

  /** The addresses that sent ARP packets on the link since the last call. */
  answers(): ReadonlySet<Address> {
    const found = new Set<Address>()
    for (let frames = 0; frames < maxFrames; frames++) {
      const length = native.recv(this.#fd, this.#buffer, this.#buffer.length, 0)
      if (length <= 0) break
      const sender = arpSender(this.#buffer.subarray(0, length))
      if (sender !== undefined) found.add(sender)
    }
    return found
  }

  [Symbol.dispose](): void {
    native.close(this.#fd)
  }
}
