import { check, KernelError, native } from './libc.ts'
import {
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  messageFlag,
  messageType,
  type NetlinkMessage,
  textOf,
} from './netlink-message.ts'
import { withNetns } from './netns.ts'

export interface NetlinkRequest {
  readonly type: number
  readonly flags: number
  readonly payload: Buffer
}

const family = 16
const rawCloexec = 3 | 0x80000
const solSocket = 1
const solNetlink = 270
const option = { receiveTimeout: 20, receiveBufferForce: 33, addMembership: 1, capAck: 10, extendedAck: 11, strictCheck: 12 } as const // biome-ignore format: numbers of two headers

/* The kernel fills at most 32 KiB per message of a dump. All sockets share the buffer, because each message is copied before the next call. */
const received = Buffer.alloc(1 << 18)
const truncFlag = 0x20

/** On a busy machine, waiting for the kernel's lock can take seconds. Without a limit, a lost answer would block this thread for ever. */
const receiveTimeoutS = 10

/**
 * A socket to rtnetlink, or to another netlink protocol. It stays in the network namespace in which it was opened. Calls are synchronous,
 * because the kernel answers before `send` returns.
 */
export class Netlink implements Disposable {
  readonly #fd: number
  #sequence = 0

  /** Opens the socket in the namespace at `netns`, or in this thread's own. */
  constructor(netns?: string, protocol = 0) {
    const open = (): number => openSocket(0, protocol)
    this.#fd = netns === undefined ? open() : withNetns(netns, open)
    const timeout = Buffer.alloc(16)
    timeout.writeBigInt64LE(BigInt(receiveTimeoutS))
    native.setsockopt(this.#fd, solSocket, option.receiveTimeout, timeout, timeout.length)
  }

  [Symbol.dispose](): void {
    native.close(this.#fd)
  }

  /** Sends one request and waits for its acknowledgement. An error contains `attempted` and the kernel's explanation. */
  request(attempted: string, type: number, flags: number, ...payload: readonly Buffer[]): void {
    const sequence = this.#send(attempted, type, flags | messageFlag.request | messageFlag.ack, payload)
    for (const message of this.#receive(attempted, sequence)) if (message.type === messageType.error) return
  }

  /** Sends one request and returns its answer, or undefined if the kernel only acknowledges it. */
  ask(attempted: string, type: number, ...payload: readonly Buffer[]): NetlinkMessage | undefined {
    const sequence = this.#send(attempted, type, messageFlag.request | messageFlag.ack, payload)
    return [...this.#receive(attempted, sequence)].find((message) => message.type !== messageType.error)
  }

  /** Sends several requests that take effect together or not at all (nfnetlink). `frame` are the messages before and after them. */
  transaction(
    attempted: string,
    requests: readonly NetlinkRequest[],
    frame: readonly [NetlinkRequest, NetlinkRequest],
  ): void {
    const first = this.#sequence + 1
    const messages = [frame[0], ...requests, frame[1]].map(({ type, flags, payload }, index) =>
      encodeMessage(type, flags | messageFlag.request, first + index, payload),
    )
    this.#sequence = first + requests.length + 1
    const bytes = Buffer.concat(messages)
    check(attempted, native.send(this.#fd, bytes, bytes.length, 0))
    for (let index = 1; index <= requests.length; index++)
      for (const message of this.#receive(attempted, first + index))
        if (message.type === messageType.error) break
  }

  /** Requests a list. If it changed while it was read, it is read again, so that the result is consistent. */
  dump(attempted: string, type: number, ...payload: readonly Buffer[]): NetlinkMessage[] {
    const maxTries = 20
    for (let tries = 0; tries < maxTries; tries++) {
      const sequence = this.#send(attempted, type, messageFlag.request | messageFlag.dump, payload)
      const messages = [...this.#receive(attempted, sequence)]
      if (!messages.some((message) => message.flags & messageFlag.dumpInterrupted))
        return messages.filter((message) => message.type !== messageType.done)
    }
    throw new Error(`${attempted}: the list changed ${maxTries} times while it was read`)
  }

  #send(attempted: string, type: number, flags: number, payload: readonly Buffer[]): number {
    this.#sequence = (this.#sequence + 1) >>> 0
    const message = encodeMessage(type, flags, this.#sequence, Buffer.concat(payload))
    check(attempted, native.send(this.#fd, message, message.length, 0))
    return this.#sequence
  }

  /** Reads until the acknowledgement or the end of the list. Skips messages that are left from a failed call. */
  *#receive(attempted: string, sequence: number): Generator<NetlinkMessage> {
    for (;;) {
      const length = check(attempted, native.recv(this.#fd, received, received.length, truncFlag))
      if (length > received.length)
        throw new Error(`${attempted}: a reply of ${length} bytes is too long for the buffer`)
      for (const message of decodeMessages(Buffer.from(received.subarray(0, length)))) {
        if (message.sequence !== sequence) continue
        throwIfError(attempted, message)
        yield message
        if (message.type === messageType.done || message.type === messageType.error) return
      }
    }
  }
}

function throwIfError(attempted: string, message: NetlinkMessage): void {
  if (message.type !== messageType.error && message.type !== messageType.done) return
  const errno = message.payload.length >= 4 ? -message.payload.readInt32LE(0) : 0
  if (errno > 0) throw new KernelError(attempted, errno, explanation(message))
}

/** The kernel's explanation of an error, such as "Device does not exist". */
function explanation({ type, flags, payload }: NetlinkMessage): string | undefined {
  if (!(flags & messageFlag.ackAttributes)) return undefined
  const errorThenHeader = 4 + 16
  const attributes = decodeAttributes(payload.subarray(type === messageType.error ? errorThenHeader : 4))
  const text = attributes.get(1)
  return text && textOf(text)
}

export function openSocket(flags: number, protocol = 0): number {
  const fd = check('open a netlink socket', native.socket(family, rawCloexec | flags, protocol))
  const on = Buffer.from([1, 0, 0, 0])
  for (const name of [option.capAck, option.extendedAck, option.strictCheck])
    native.setsockopt(fd, solNetlink, name, on, on.length)
  const address = Buffer.alloc(12)
  address.writeUInt16LE(family, 0)
  check('bind a netlink socket', native.bind(fd, address, address.length))
  return fd
}

/** Subscribes a socket to changes. Its buffer is large, because everything must be listed again after a burst that does not fit. */
export function subscribe(fd: number, groups: readonly number[]): void {
  const size = Buffer.alloc(4)
  size.writeUInt32LE(8 << 20)
  native.setsockopt(fd, solSocket, option.receiveBufferForce, size, size.length)
  for (const group of groups) {
    const value = Buffer.alloc(4)
    value.writeUInt32LE(group)
    check(
      `subscribe to netlink group ${group}`,
      native.setsockopt(fd, solNetlink, option.addMembership, value, 4),
    )
  }
}
