import koffi from 'koffi'
import { check, native } from './libc.ts'

/** bpf(2) itself, for commands that libbpf 1.1 wraps badly or not at all. Numbers: include/uapi/linux/bpf.h. */
const commands = {
  pin: 6,
  getPinned: 7,
  testRun: 10,
  programFdById: 13,
  infoByFd: 15,
  linkCreate: 28,
  linkUpdate: 29,
  linkDetach: 34,
} as const

const bpfSyscallByArch: Readonly<Record<string, number>> = { x64: 321, arm64: 280 }

export function bpf(command: keyof typeof commands, attributes: Buffer, attempted: string): number {
  const number = bpfSyscallByArch[process.arch]
  if (number === undefined)
    throw new Error(`no bpf(2) on ${process.arch}: Sallyport runs on x86-64 and arm64`)
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

/** A new descriptor of what is pinned there. */
export function getPinned(path: string): number {
  const { attributes, name } = pathAttributes(path, 0)
  const fd = bpf('getPinned', attributes, `open the pinned ${path}`)
  keepAlive(name)
  return fd
}

export function createLink(programFd: number, ifindex: number, attachType: number): number {
  const attributes = Buffer.alloc(64)
  attributes.writeUInt32LE(programFd, 0)
  attributes.writeUInt32LE(ifindex, 4)
  attributes.writeUInt32LE(attachType, 8)
  return bpf('linkCreate', attributes, `attach a program to device ${ifindex}`)
}

/** Puts another program in the link's place between two packets: none sees neither. */
export function updateLink(linkFd: number, programFd: number): void {
  const attributes = Buffer.alloc(16)
  attributes.writeUInt32LE(linkFd, 0)
  attributes.writeUInt32LE(programFd, 4)
  bpf('linkUpdate', attributes, 'update a link to another program')
}

export function detachLink(linkFd: number): void {
  const attributes = Buffer.alloc(4)
  attributes.writeUInt32LE(linkFd, 0)
  bpf('linkDetach', attributes, 'detach a link')
}

/** Device 0 means that the device is gone and the link with it. */
export function linkInfo(linkFd: number): { readonly programId: number; readonly ifindex: number } {
  const info = info64(linkFd)
  return { programId: info.readUInt32LE(8), ifindex: info.readUInt32LE(16) }
}

/** A new descriptor of the program with this id of the kernel's. */
export function programById(id: number): number {
  const attributes = Buffer.alloc(12)
  attributes.writeUInt32LE(id, 0)
  return bpf('programFdById', attributes, `open program ${id}`)
}

function info64(fd: number): Buffer {
  const info = Buffer.alloc(64)
  const attributes = Buffer.alloc(16)
  attributes.writeUInt32LE(fd, 0)
  attributes.writeUInt32LE(info.length, 4)
  attributes.writeBigUInt64LE(koffi.address(info), 8)
  bpf('infoByFd', attributes, 'ask about a descriptor')
  return info
}

/** The address of a buffer holds only while the buffer is referenced: call this after the kernel used it. */
export function keepAlive(...buffers: readonly Buffer[]): void {
  for (const buffer of buffers) if (buffer.length < 0) throw new Error('unreachable')
}
