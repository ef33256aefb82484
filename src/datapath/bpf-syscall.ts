import koffi from 'koffi'
import { check, isKernelError, native } from '../linux/libc.ts'

/** bpf(2) itself, for commands that libbpf 1.1 wraps badly or not at all. Numbers: include/uapi/linux/bpf.h. */
const commands = {
  load: 5,
  pin: 6,
  getPinned: 7,
  attach: 8,
  detach: 9,
  testRun: 10,
  programFdById: 13,
  infoByFd: 15,
  query: 16,
  btfFdById: 19,
} as const

const bpfSyscallByArch: Readonly<Record<string, number>> = { x64: 321, arm64: 280 }

export function bpf(command: keyof typeof commands, attributes: Buffer, attempted: string): number {
  const number = bpfSyscallByArch[process.arch]
  if (number === undefined)
    throw new Error(`the number of bpf(2) on ${process.arch} is unknown: Sallyport runs on x86-64 and arm64`)
  return check(attempted, native.syscall(number, commands[command], attributes, attributes.length))
}

function pathAttributes(path: string, fd: number): { attributes: Buffer; name: Buffer } {
  const name = Buffer.from(`${path}\0`)
  const attributes = Buffer.alloc(16)
  attributes.writeBigUInt64LE(koffi.address(name), 0)
  attributes.writeUInt32LE(fd, 8)
  return { attributes, name }
}

export function pin(fd: number, path: string): void {
  const { attributes, name } = pathAttributes(path, fd)
  bpf('pin', attributes, `pin at ${path}`)
  keepAlive(name)
}

/** Returns a new descriptor of a pinned object. */
export function getPinned(path: string): number {
  const { attributes, name } = pathAttributes(path, 0)
  const fd = bpf('getPinned', attributes, `open the pinned ${path}`)
  keepAlive(name)
  return fd
}

/** A hook of a device. The attach type is from enum bpf_attach_type. */
export interface DeviceHook {
  readonly ifindex: number
  readonly attachType: number
}

const replaceFlag = 1 << 2
const beforeFlag = 1 << 3

/**
 * Attaches a program in front of all others, or replaces `replacedFd` between two packets. Every packet meets one of
 * the two.
 */
export function attachProgram(
  { ifindex, attachType }: DeviceHook,
  programFd: number,
  attempted: string,
  replacedFd?: number,
): void {
  const attributes = Buffer.alloc(32)
  attributes.writeUInt32LE(ifindex, 0)
  attributes.writeUInt32LE(programFd, 4)
  attributes.writeUInt32LE(attachType, 8)
  attributes.writeUInt32LE(replacedFd === undefined ? beforeFlag : replaceFlag, 12)
  attributes.writeUInt32LE(replacedFd ?? 0, 16)
  bpf('attach', attributes, attempted)
}

export function detachProgram({ ifindex, attachType }: DeviceHook, programFd: number): void {
  const attributes = Buffer.alloc(32)
  attributes.writeUInt32LE(ifindex, 0)
  attributes.writeUInt32LE(programFd, 4)
  attributes.writeUInt32LE(attachType, 8)
  bpf('detach', attributes, `detach a program from device ${ifindex}`)
}

/** BPF_MPROG_MAX of the kernel: a hook holds at most this many programs. */
const maxPrograms = 64

/** The kernel's ids of the programs on a hook, in the order in which they run. */
export function queryPrograms({ ifindex, attachType }: DeviceHook): readonly number[] {
  const ids = Buffer.alloc(4 * maxPrograms)
  const attributes = Buffer.alloc(64)
  attributes.writeUInt32LE(ifindex, 0)
  attributes.writeUInt32LE(attachType, 4)
  attributes.writeBigUInt64LE(koffi.address(ids), 16)
  attributes.writeUInt32LE(maxPrograms, 24)
  bpf('query', attributes, `list the programs that are attached to device ${ifindex}`)
  keepAlive(ids)
  return Array.from({ length: attributes.readUInt32LE(24) }, (_, index) => ids.readUInt32LE(4 * index))
}

/** Returns a new descriptor of the program with this id. */
export function programById(id: number): number {
  const attributes = Buffer.alloc(12)
  attributes.writeUInt32LE(id, 0)
  return bpf('programFdById', attributes, `open program ${id}`)
}

/**
 * The kernel's information about a descriptor's object, as much as fits into `info`. `info` may contain addresses of further
 * buffers.
 */
function askAbout(fd: number, info: Buffer, what: string): void {
  const attributes = Buffer.alloc(16)
  attributes.writeUInt32LE(fd, 0)
  attributes.writeUInt32LE(info.length, 4)
  attributes.writeBigUInt64LE(koffi.address(info), 8)
  bpf('infoByFd', attributes, `get information about ${what}`)
  keepAlive(info)
}

/** The layout of a map, as its creator described it: type ids, and the BTF that defines them. */
interface MapTypes {
  readonly btf: Buffer
  readonly key: number
  readonly value: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
}

export function mapTypes(mapFd: number): MapTypes {
  const info = Buffer.alloc(88)
  askAbout(mapFd, info, 'a map')
  return {
    btf: btfById(info.readUInt32LE(64)),
    key: info.readUInt32LE(68),
    value: info.readUInt32LE(72),
    keySize: info.readUInt32LE(8),
    valueSize: info.readUInt32LE(12),
    maxEntries: info.readUInt32LE(16),
  }
}

function btfById(id: number): Buffer {
  const attributes = Buffer.alloc(12)
  attributes.writeUInt32LE(id, 0)
  const fd = bpf('btfFdById', attributes, `open BTF ${id}`)
  try {
    const info = Buffer.alloc(16)
    askAbout(fd, info, 'BTF')
    const btf = Buffer.alloc(info.readUInt32LE(8))
    info.writeBigUInt64LE(koffi.address(btf), 0)
    askAbout(fd, info, 'BTF')
    keepAlive(btf)
    return btf
  } finally {
    native.close(fd)
  }
}

const nameAt = 64
const nameLength = 16

/** The kernel keeps at most 15 bytes of a name. */
function programName(programFd: number): string {
  const info = Buffer.alloc(nameAt + nameLength)
  askAbout(programFd, info, 'a program')
  return info.toString('latin1', nameAt).replace(/\0.*$/s, '')
}

/** The name of the program with this id. Undefined if the program is gone. */
export function programNameById(id: number): string | undefined {
  let fd: number
  try {
    fd = programById(id)
  } catch (error) {
    if (isKernelError(error, 'ENOENT')) return undefined
    throw error
  }
  try {
    return programName(fd)
  } finally {
    native.close(fd)
  }
}

const classifierType = 3

/** A program for tc that returns the same action for every packet. */
export function loadVerdict(name: string, action: number): number {
  const instructions = Buffer.alloc(16)
  instructions.writeUInt8(0xb7, 0) /* r0 = action */
  instructions.writeInt32LE(action, 4)
  instructions.writeUInt8(0x95, 8) /* exit */
  const license = Buffer.from('GPL\0')
  const attributes = Buffer.alloc(64)
  attributes.writeUInt32LE(classifierType, 0)
  attributes.writeUInt32LE(instructions.length / 8, 4)
  attributes.writeBigUInt64LE(koffi.address(instructions), 8)
  attributes.writeBigUInt64LE(koffi.address(license), 16)
  attributes.write(name, 48, nameLength - 1, 'latin1')
  try {
    return loadPatiently(attributes, `load program ${name}`)
  } finally {
    keepAlive(instructions, license)
  }
}

/** A pending signal interrupts the verifier. Then the load is tried again, as libbpf does. */
function loadPatiently(attributes: Buffer, attempted: string, triesLeft = 5): number {
  try {
    return bpf('load', attributes, attempted)
  } catch (error) {
    if (triesLeft === 1 || !isKernelError(error, 'EAGAIN')) throw error
    return loadPatiently(attributes, attempted, triesLeft - 1)
  }
}

/** A buffer's address is valid only while the buffer is referenced. Call this after the kernel has used the address. */
export function keepAlive(...buffers: readonly Buffer[]): void {
  for (const buffer of buffers) if (buffer.length < 0) throw new Error('unreachable')
}
