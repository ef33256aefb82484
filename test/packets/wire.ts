import { setTimeout as sleep } from 'node:timers/promises'
import type { Program } from '../../src/datapath/datapath.ts'
import { check, native } from '../../src/linux/libc.ts'
import type { NodeUnderTest } from './node-under-test.ts'

/*
 * Frames on real devices, for what a test run cannot carry: a VLAN tag that the driver has taken off, a checksum that is yet
 * to be filled in, headers that are not in one piece. Numbers are of linux/if_packet.h and linux/virtio_net.h.
 */
const packetFamily = 17
const rawSocket = 3
const packetLevel = 263
const vnetHeaderOption = 15
const needsChecksum = 1

export interface Offload {
  /** The checksum field holds the sum of the pseudo header; the rest is the device's to add. Bytes from the frame's start. */
  readonly checksumAt?: { readonly start: number; readonly offset: number }
  /** Bytes in the first piece; the rest comes in pages. Frames of less than a page are in one piece all the same. */
  readonly firstPiece?: number
}

/** Puts a frame on a device, whose other end receives it. */
export function transmit(ifindex: number, frame: Buffer, offload?: Offload): void {
  const fd = check('open a packet socket', native.socket(packetFamily, rawSocket, 0))
  try {
    if (offload !== undefined) {
      const on = Buffer.alloc(4)
      on.writeUInt32LE(1)
      check('announce offloads', native.setsockopt(fd, packetLevel, vnetHeaderOption, on, 4))
    }
    const place = Buffer.alloc(20)
    place.writeUInt16LE(packetFamily, 0)
    place.writeInt32LE(ifindex, 4)
    const bytes = offload === undefined ? frame : Buffer.concat([vnetHeader(offload), frame])
    check('send a frame', native.sendto(fd, bytes, bytes.length, 0, place, place.length))
  } finally {
    native.close(fd)
  }
}

function vnetHeader({ checksumAt, firstPiece = 0 }: Offload): Buffer {
  const header = Buffer.alloc(10)
  header.writeUInt8(checksumAt === undefined ? 0 : needsChecksum, 0)
  header.writeUInt16LE(firstPiece, 2)
  header.writeUInt16LE(checksumAt?.start ?? 0, 6)
  header.writeUInt16LE(checksumAt?.offset ?? 0, 8)
  return header
}

export function withVlan(frame: Buffer, vlan: number): Buffer {
  const tag = Buffer.from([0x81, 0, vlan >> 8, vlan & 255])
  return Buffer.concat([frame.subarray(0, 12), tag, frame.subarray(12)])
}

/** The verdict of the program on what `act` sends to a device that it hangs on. */
export async function verdictOn(
  { datapath }: NodeUnderTest,
  program: Program,
  act: () => void,
): Promise<string> {
  const before = new Map(datapath.counts(program).map(({ verdict, packets }) => [verdict, packets]))
  act()
  for (;;) {
    const ended = datapath
      .counts(program)
      .filter(({ verdict, packets }) => packets !== (before.get(verdict) ?? 0n))
    if (ended.length > 0) return ended.map(({ verdict }) => verdict).join(' and ')
    await sleep(1)
  }
}
