import koffi from 'koffi'
import { bpf, keepAlive } from './bpf-syscall.ts'

/** The context of a program before a test run. */
export interface TestContext {
  readonly mark?: number
  readonly ingressIfindex?: number
  /** The device on which the packet arrived. It must exist in the caller's network namespace. */
  readonly ifindex?: number
  readonly gsoSize?: number
  readonly gsoSegments?: number
}

export interface TestResult {
  readonly action: number
  readonly out: Buffer
  readonly mark: number
  /** The duration of one run. If the run is repeated, the mean. */
  readonly durationNs: number
}

/* Offsets in struct __sk_buff, include/uapi/linux/bpf.h. */
const contextSize = 192
const offsets = { mark: 8, ingressIfindex: 36, ifindex: 40, gsoSegments: 164, gsoSize: 176 } as const

/* Space in front of a packet for headers that a program may add. */
const headroom = 256

/**
 * Runs a program on a packet that begins with its Ethernet header. Nothing is sent, but maps change, and FIB lookups are
 * real. The kernel refuses a packet shorter than the Ethernet header, and shows the program the caller's network namespace.
 * If the run is repeated, each run gets the packet that the previous one left.
 */
export function testRun(
  programFd: number,
  packet: Buffer,
  context: TestContext = {},
  repeat = 1,
): TestResult {
  const out = Buffer.alloc(packet.length + headroom)
  const before = Buffer.alloc(contextSize)
  const after = Buffer.alloc(contextSize)
  before.writeUInt32LE(context.mark ?? 0, offsets.mark)
  before.writeUInt32LE(context.ingressIfindex ?? 0, offsets.ingressIfindex)
  before.writeUInt32LE(context.ifindex ?? 1, offsets.ifindex)
  before.writeUInt32LE(context.gsoSegments ?? 0, offsets.gsoSegments)
  before.writeUInt32LE(context.gsoSize ?? 0, offsets.gsoSize)
  const attributes = Buffer.alloc(80)
  attributes.writeUInt32LE(programFd, 0)
  attributes.writeUInt32LE(packet.length, 8)
  attributes.writeUInt32LE(out.length, 12)
  attributes.writeBigUInt64LE(koffi.address(packet), 16)
  attributes.writeBigUInt64LE(koffi.address(out), 24)
  attributes.writeUInt32LE(repeat, 32)
  attributes.writeUInt32LE(contextSize, 40)
  attributes.writeUInt32LE(contextSize, 44)
  attributes.writeBigUInt64LE(koffi.address(before), 48)
  attributes.writeBigUInt64LE(koffi.address(after), 56)
  bpf('testRun', attributes, `run a program on a packet of ${packet.length} bytes`)
  keepAlive(packet, out, before, after)
  return {
    action: attributes.readInt32LE(4),
    out: out.subarray(0, attributes.readUInt32LE(12)),
    mark: after.readUInt32LE(offsets.mark),
    durationNs: attributes.readUInt32LE(36),
  }
}
