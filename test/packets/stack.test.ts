import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import koffi from 'koffi'
import { bpf, keepAlive } from '../../src/datapath/bpf-syscall.ts'
import { openNode, skip } from './node-under-test.ts'

/** What a program and all that it calls one in another may use together. Kernels of today count more finely than those before. */
const mostStack = 512
const roundedTo = 32

test('no chain of calls uses more stack than older kernels give it', { skip }, () => {
  for (const knobs of [
    {},
    { link_path: 1, flow_log: 1 },
    { chained: 1, own_address_is_shared: 1, link_path: 1, flow_log: 1 },
    { services_by_stack: 1, flow_log: 1 },
    { services_by_stack: 1, forward_by_stack: 1, flow_log: 1 },
    { replaces_kube_proxy: 1, flow_log: 1 },
    { replaces_kube_proxy: 1, forward_by_stack: 1, flow_log: 1 },
  ])
    openNode(knobs)
  const programs = readdirSync('/proc/self/fdinfo').filter(isProgram).map(Number)
  assert.ok(programs.length >= 4, `${programs.length} programs are loaded`)
  for (const fd of programs) {
    const { bytes, chain } = deepest(functionsOf(instructionsOf(fd)), 0)
    assert.ok(bytes <= mostStack, `${bytes} bytes: ${chain.join(' > ')}`)
  }
})

function isProgram(fd: string): boolean {
  try {
    return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').includes('prog_type:')
  } catch {
    return false /* the one that listed them */
  }
}

interface Instruction {
  readonly code: number
  readonly destination: number
  readonly source: number
  readonly offset: number
  readonly immediate: number
}

/** As the kernel runs them: struct bpf_insn, of the length and at the address that struct bpf_prog_info says. */
function instructionsOf(fd: number): Instruction[] {
  const ask = (info: Buffer): Buffer => {
    const attributes = Buffer.alloc(16)
    attributes.writeUInt32LE(fd, 0)
    attributes.writeUInt32LE(info.length, 4)
    attributes.writeBigUInt64LE(koffi.address(info), 8)
    bpf('infoByFd', attributes, 'read a program')
    return info
  }
  const length = ask(Buffer.alloc(40)).readUInt32LE(20)
  const bytes = Buffer.alloc(length)
  const info = Buffer.alloc(40)
  info.writeUInt32LE(length, 20)
  info.writeBigUInt64LE(koffi.address(bytes), 32)
  ask(info)
  keepAlive(bytes)
  return Array.from({ length: length / 8 }, (_, index) => ({
    code: bytes.readUInt8(8 * index),
    destination: bytes.readUInt8(8 * index + 1) & 15,
    source: bytes.readUInt8(8 * index + 1) >> 4,
    offset: bytes.readInt16LE(8 * index + 2),
    immediate: bytes.readInt32LE(8 * index + 4),
  }))
}

interface BpfFunction {
  readonly stack: number
  readonly calls: ReadonlySet<number>
}

const framePointer = 10
const op = { call: 0x85, copy: 0xbf, add: 0x07 } as const
const [load, storeValue, store] = [1, 2, 3]

/** By the index of their first instruction. */
function functionsOf(instructions: readonly Instruction[]): Map<number, BpfFunction> {
  const targets = instructions.flatMap(({ code, source, offset }, index) =>
    code === op.call && source === 1 ? [index + offset + 1] : [],
  )
  const starts = [...new Set([0, ...targets])].toSorted((a, b) => a - b)
  return new Map(
    starts.map((start, order) => {
      const own = instructions.slice(start, starts[order + 1])
      const calls = own.flatMap(({ code, source, offset }, index) =>
        code === op.call && source === 1 ? [start + index + offset + 1] : [],
      )
      return [start, { stack: stackOf(own), calls: new Set(calls) }]
    }),
  )
}

/** The deepest place that it reaches: by itself, or by an address that it makes for others. */
function stackOf(own: readonly Instruction[]): number {
  let deepest = 0
  const addresses = new Set<number>()
  for (const { code, destination, source, offset, immediate } of own) {
    const base = (code & 7) === load ? source : destination
    if ([load, storeValue, store].includes(code & 7) && base === framePointer)
      deepest = Math.max(deepest, -offset)
    if (code === op.add && addresses.delete(destination)) deepest = Math.max(deepest, -immediate)
    if (code === op.copy && source === framePointer) addresses.add(destination)
  }
  return deepest
}

function deepest(
  functions: ReadonlyMap<number, BpfFunction>,
  start: number,
): { readonly bytes: number; readonly chain: readonly number[] } {
  const { stack, calls } = functions.get(start) ?? { stack: 0, calls: [] }
  const below = [...calls].map((call) => deepest(functions, call)).toSorted((a, b) => b.bytes - a.bytes)[0]
  const own = Math.ceil(Math.max(stack, 1) / roundedTo) * roundedTo
  return { bytes: own + (below?.bytes ?? 0), chain: [stack, ...(below?.chain ?? [])] }
}
