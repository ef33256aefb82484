import koffi from 'koffi'
import { check, native } from './libc.ts'

const packetFamily = 17
const rawSocket = 3
const closeOnExec = 0x80000
const nonBlocking = 0x800

/** linux/if_ether.h */
export const etherType = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const

export const broadcastMac = Buffer.alloc(6, 0xff)

/**
 * Opens a socket that sends whole frames by one device, and receives frames of one Ethernet type. Without a type it receives none. It never
 * blocks. The caller closes it. Throws a KernelError.
 */
export function openPacketSocket(ifindex: number, receives?: number): number {
  const fd = check(
    'open a packet socket',
    native.socket(packetFamily, rawSocket | closeOnExec | nonBlocking, 0),
  )
  /* struct sockaddr_ll, linux/if_packet.h */
  const link = Buffer.alloc(20)
  link.writeUInt16LE(packetFamily, 0)
  link.writeUInt16BE(receives ?? 0, 2)
  link.writeUInt32LE(ifindex, 4)
  try {
    check(`bind to device ${ifindex}`, native.bind(fd, link, link.length))
  } catch (error) {
    native.close(fd)
    throw error
  }
  return fd
}

const [socketLevel, attachFilter] = [1, 26]

/** Of the frames that arrive from now on, the socket receives only those that a classic BPF program admits (linux/filter.h). */
export function filterFrames(
  fd: number,
  program: readonly (readonly [code: number, ifTrue: number, ifFalse: number, value: number])[],
): void {
  const instructions = Buffer.alloc(8 * program.length)
  for (const [index, [code, ifTrue, ifFalse, value]] of program.entries()) {
    instructions.writeUInt16LE(code, 8 * index)
    instructions.set([ifTrue, ifFalse], 8 * index + 2)
    instructions.writeUInt32LE(value, 8 * index + 4)
  }
  const header = Buffer.alloc(16)
  header.writeUInt16LE(program.length, 0)
  header.writeBigUInt64LE(koffi.address(instructions), 8)
  check('filter a packet socket', native.setsockopt(fd, socketLevel, attachFilter, header, header.length))
}

/** The header of an Ethernet frame. */
export function ethernet(destination: Uint8Array, source: Uint8Array, type: number): Buffer {
  const header = Buffer.alloc(14)
  header.set(destination, 0)
  header.set(source, 6)
  header.writeUInt16BE(type, 12)
  return header
}
