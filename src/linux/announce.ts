import { type Address, familyOf } from '../net/address.ts'
import { macBytes } from '../net/mac.ts'
import { arpFrame } from './arp.ts'
import { check, native } from './libc.ts'
import { kernelBytes } from './network-address.ts'
import { ethernet, etherType, openPacketSocket } from './packet-socket.ts'

const arpForms = ['request', 'reply'] as const
const nodesOnLink = { mac: Buffer.from([0x33, 0x33, 0, 0, 0, 1]), address: allNodes() }

/** ff02::1 */
function allNodes(): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.set([0xff, 0x02])
  bytes[15] = 1
  return bytes
}

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

/** RFC 4861 section 7.2.6: unsolicited, with the override flag, to all nodes on the link. */
export function unsolicitedNeighbour(mac: string, address: Address): Buffer {
  const [sender, ip] = [macBytes(mac), kernelBytes(address)]
  const icmp = Buffer.alloc(32)
  icmp.writeUInt8(136, 0)
  icmp.writeUInt32BE(0x20000000, 4)
  icmp.set(ip, 8)
  icmp.set([2, 1], 24)
  icmp.set(sender, 26)
  const header = Buffer.alloc(40)
  header.writeUInt8(0x60, 0)
  header.writeUInt16BE(icmp.length, 4)
  header.set([58, 255], 6)
  header.set(ip, 8)
  header.set(nodesOnLink.address, 24)
  icmp.writeUInt16BE(checksum(header.subarray(8, 40), icmp), 2)
  return Buffer.concat([ethernet(nodesOnLink.mac, sender, etherType.ipv6), header, icmp])
}

/** RFC 8200 section 8.1: over the pseudo header and the message. The message's checksum field is still zero. */
function checksum(addresses: Buffer, icmp: Buffer): number {
  const pseudo = Buffer.alloc(8)
  pseudo.writeUInt32BE(icmp.length, 0)
  pseudo.writeUInt8(58, 7)
  const bytes = Buffer.concat([addresses, pseudo, icmp])
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}
