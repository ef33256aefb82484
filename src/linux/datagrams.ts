import { type Address, familyOf } from '../net/address.ts'
import { native } from './libc.ts'
import { familyNumber, kernelBytes } from './network-address.ts'

const datagramSocket = 2
const closeOnExec = 0x80000
const dontWait = 0x40

/**
 * UDP that is only sent, many times to the same few places. Nothing is queued, and no event of the loop is spent on it:
 * ten times a second that would be a good part of what an agent at rest does.
 */
export class Datagrams implements Disposable {
  readonly #port: number
  readonly #sockets = new Map<number, number>()
  readonly #places = new Map<Address, Buffer>()

  constructor(port: number) {
    this.#port = port
  }

  /** False where it could not be sent: no route, a full queue. What is not there cannot be told from what is lost later. */
  send(bytes: Buffer, to: Address): boolean {
    const place = this.#place(to)
    const fd = this.#socket(to)
    return fd >= 0 && native.sendto(fd, bytes, bytes.length, dontWait, place, place.length) === bytes.length
  }

  /** Below zero where there is none to be had: in a kernel that lacks the family, or just now. */
  #socket(to: Address): number {
    const family = familyNumber(to)
    const known = this.#sockets.get(family)
    if (known !== undefined) return known
    const fd = native.socket(family, datagramSocket | closeOnExec, 0)
    if (fd >= 0) this.#sockets.set(family, fd)
    return fd
  }

  /** struct sockaddr_in (16 bytes) or sockaddr_in6 (28), linux/in.h and linux/in6.h. */
  #place(address: Address): Buffer {
    const known = this.#places.get(address)
    if (known !== undefined) return known
    const isIpv4 = familyOf(address) === 4
    const place = Buffer.alloc(isIpv4 ? 16 : 28)
    place.writeUInt16LE(familyNumber(address), 0)
    place.writeUInt16BE(this.#port, 2)
    place.set(kernelBytes(address), isIpv4 ? 4 : 8)
    this.#places.set(address, place)
    return place
  }

  /** The places that are not sent to any more are forgotten. */
  keepOnly(addresses: ReadonlySet<Address>): void {
    for (const known of this.#places.keys()) if (!addresses.has(known)) this.#places.delete(known)
  }

  [Symbol.dispose](): void {
    for (const fd of this.#sockets.values()) native.close(fd)
    this.#sockets.clear()
  }
}
