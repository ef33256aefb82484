import koffi from 'koffi'
import { Arrivals } from './arrivals.ts'
import { type DeviceAddress, decodeDeviceAddress } from './device-addresses.ts'
import { type Device, decodeDevice } from './devices.ts'
import { KernelError, native } from './libc.ts'
import { openSocket, subscribe } from './netlink.ts'
import { decodeMessages, messageType, type NetlinkMessage } from './netlink-message.ts'
import { withNetns } from './netns.ts'
import { decodeRoute, type Route } from './routes.ts'

/** A change in a network namespace. `resync`: changes were lost, so the reader must list everything again. */
export type NetworkChange =
  | { readonly kind: 'device'; readonly isGone: boolean; readonly device: Device }
  | { readonly kind: 'address'; readonly isGone: boolean; readonly address: DeviceAddress }
  | { readonly kind: 'route'; readonly isGone: boolean; readonly route: Route }
  | { readonly kind: 'resync' }

const groups = { link: 1, ipv4Address: 5, ipv4Route: 7, ipv6Address: 9, ipv6Route: 11 } as const
const nonBlocking = 0x800
const errnos = { eagain: 11, enobufs: 105 } as const

/**
 * The changes in this thread's network namespace, or in the one at `netns`, until the signal. The subscription begins before this function
 * returns, so a caller that lists afterwards misses nothing. The caller must iterate, because that closes the socket at the end.
 */
export function watchNetwork(signal: AbortSignal, netns?: string): AsyncGenerator<NetworkChange> {
  const open = (): number => openSocket(nonBlocking)
  const fd = netns === undefined ? open() : withNetns(netns, open)
  subscribe(fd, Object.values(groups))
  return readSocket(fd, signal)
}

async function* readSocket(fd: number, signal: AbortSignal): AsyncGenerator<NetworkChange> {
  const changes = new Arrivals<NetworkChange>()
  const buffer = Buffer.alloc(1 << 18)
  const poll = koffi.node.poll(fd, { readable: true }, () => changes.push(...readChanges(fd, buffer)))
  try {
    yield* changes.until(signal)
  } finally {
    poll.stop()
    poll.close()
    native.close(fd)
  }
}

function readChanges(fd: number, buffer: Buffer): NetworkChange[] {
  const changes: NetworkChange[] = []
  for (;;) {
    const length = native.recv(fd, buffer, buffer.length, 0)
    if (length < 0) {
      const errno = koffi.errno()
      if (errno === errnos.enobufs) changes.push({ kind: 'resync' })
      else if (errno === errnos.eagain) return changes
      else throw new KernelError('read network changes', errno)
      continue
    }
    for (const message of decodeMessages(Buffer.from(buffer.subarray(0, length)))) {
      const change = decodeChange(message)
      if (change !== undefined) changes.push(change)
    }
  }
}

function decodeChange({ type, payload }: NetlinkMessage): NetworkChange | undefined {
  switch (type) {
    case messageType.newLink:
    case messageType.deleteLink:
      return { kind: 'device', isGone: type === messageType.deleteLink, device: decodeDevice(payload) }
    case messageType.newAddress:
    case messageType.deleteAddress: {
      const address = decodeDeviceAddress(payload)
      return address && { kind: 'address', isGone: type === messageType.deleteAddress, address }
    }
    case messageType.newRoute:
    case messageType.deleteRoute: {
      const route = decodeRoute(payload)
      return route && { kind: 'route', isGone: type === messageType.deleteRoute, route }
    }
    default:
      return undefined
  }
}
