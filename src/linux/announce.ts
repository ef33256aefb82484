import { type Address, familyOf } from '../net/address.ts'
import { arpFrame } from './arp.ts'
import { check, native } from './libc.ts'
import { unsolicitedNeighbour } from './neighbour-discovery.ts'
import { openPacketSocket } from './packet-socket.ts'

const arpForms = ['request', 'reply'] as const

/** Announces once, to all hosts on a device's link, that an address is at the device's MAC now. */
export function announce(device: { readonly index: number; readonly mac: string }, address: Address): void {
  const frames =
    familyOf(address) === 4
      ? arpForms.map((form) => gratuitousArp(device.mac, address, form))
      : [unsolicitedNeighbour(device.mac, address)]
  const fd = openPacketSocket(device.index)
  try {
    for (const frame of frames)
      check(`announce ${address} on device ${device.index}`, native.send(fd, frame, frame.length, 0))
  } finally {
    native.close(fd)
  }
}

/**
 * RFC 5227 section 3: sender and target are the address itself. Hosts that know the address take the new MAC from the request. Some
 * take it only from a reply.
 */
export function gratuitousArp(mac: string, address: Address, form: (typeof arpForms)[number]): Buffer {
  const target = form === 'reply' ? { mac, address } : { address }
  return arpFrame({ operation: form, sender: { mac, address }, target })
}
