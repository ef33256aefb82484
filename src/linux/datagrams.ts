import { type Address, familyOf } from '../net/address.ts'
import { native } from './libc.ts'
import { familyNumber, kernelBytes } from './network-address.ts'

const datagramSocket = 2
const closeOnExec = 0x80000
const dontWait = 0x40

/**
 * Sends UDP datagrams, again and again to the same few addresses. It calls the kernel directly, without a queue and without the event
 * loop. An agent probes each gateway ten times a second, and with node:dgram this would be a large part of its load at rest.
 */
export class Datagrams implements Disposable {
  readonly #port: number
  readonly #sockets = new Map<number, number>()
  readonly #places = new Map<Address, Buffer>()

  constructor(port: number) {
    this.#port = port
  }

  /** Returns false if the kernel did not take the datagram, for example without a route. The caller treats it as a lost one. */
  send(bytes: Buffer, to: Address): boolean {
    const place = this.#place(to)
    const fd = this.#socket(to)
    return fd >= 0 && native.sendto(fd, bytes, bytes.length, dontWait, place, place.length) === bytes.length
  }

  /** Negative if the kernel gives no socket, for example because it lacks the address family. */
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

  /** Forgets all other addresses. */
  keepOnly(addresses: ReadonlySet<Address>): void {
    for (const known of this.#places.keys()) if (!addresses.has(known)) this.#places.delete(known)
  }

  [Symbol.dispose](): void {
    for (const fd of this.#sockets.values()) native.close(fd)
    this.#sockets.clear()
  }
}
