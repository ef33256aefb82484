import { native } from './libc.ts'
import { openPacketSocket } from './packet-socket.ts'

/** Sends whole frames by devices of this namespace, again and again by the same few. */
export class Frames implements Disposable {
  readonly #sockets = new Map<number, number>()

  /** Returns false if the device did not take the frame, for example because it is down. */
  send(frame: Buffer, ifindex: number): boolean {
    try {
      const fd = this.#sockets.get(ifindex) ?? openPacketSocket(ifindex)
      this.#sockets.set(ifindex, fd)
      if (native.send(fd, frame, frame.length, 0) === frame.length) return true
    } catch {
      /* The device is gone. */
    }
    this.#close(ifindex)
    return false
  }

  /** A device that comes back under its index needs another socket. */
  #close(ifindex: number): void {
    const fd = this.#sockets.get(ifindex)
    if (fd !== undefined) native.close(fd)
    this.#sockets.delete(ifindex)
  }

  [Symbol.dispose](): void {
    for (const ifindex of [...this.#sockets.keys()]) this.#close(ifindex)
  }
}
