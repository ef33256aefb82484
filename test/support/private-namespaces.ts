import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check, native } from '../../src/linux/libc.ts'

const cloneNewns = 0x20000
const cloneNewnet = 0x40000000
const recursivePrivate = 0x4000 | 0x40000
const detach = 2

/**
 * Moves this thread into a network and a mount namespace of its own, with an empty BPF file system, for good. What it
 * makes there is out of everybody's way and ends with the process. Returns the file system's directory.
 *
 * Only synchronous calls and spawned children are inside: Node.js makes the others on threads that stay outside.
 */
export function enterPrivateNamespaces(): string {
  check('make namespaces', native.unshare(cloneNewns | cloneNewnet))
  check('make mounts private', native.mount('none', '/', 'none', recursivePrivate, null))
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-bpf-'))
  check('mount a BPF file system', native.mount('bpf', directory, 'bpf', 0, null))
  process.on('exit', () => {
    native.umount2(directory, detach)
    rmdirSync(directory)
  })
  return directory
}

/** Why tests that need the kernel cannot run here, or false: the value of node:test's `skip`. */
export const privateNamespacesRefused: string | false =
  process.getuid?.() === 0 ? false : 'needs root: namespaces and a BPF file system of its own'
