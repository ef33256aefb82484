import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Program } from '../src/datapath/datapath.ts'
import type { LoadedObject } from '../src/datapath/object.ts'
import type { NodeUnderTest } from '../test/packets/node-under-test.ts'
import { againObject, median } from './tools.ts'

/*
 * The nanoseconds that a program takes for a packet, measured by test runs in the kernel, minus those of an empty program
 */

/** Short, because on a busy machine a long run is interrupted. The caller repeats it. */
const repeats = 50_000
/** TC_ACT_REDIRECT, the result for each packet that a program sends. */
const redirect = 7

/** The first fields of `struct fresh` in again.bpf.c. */
interface TunnelEnd {
  readonly vni: number
  readonly node: number
}

interface Arrival {
  readonly ifindex: number
  readonly tunnel?: TunnelEnd
}

export const fromOther = (vni: number): TunnelEnd => ({
  vni,
  node: Buffer.from([172, 18, 0, 4]).readUInt32BE(),
})

const words = (...values: readonly number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer)

/** Modules of the version that is measured: one process cannot have those of two versions. */
interface Kernel {
  readonly loadObject: typeof import('../src/datapath/object.ts').loadObject
  readonly readBtf: typeof import('../src/datapath/layout/btf.ts').readBtf
  readonly put: typeof import('../src/datapath/maps/maps.ts').put
  readonly testRun: typeof import('../src/datapath/test-run.ts').testRun
}

/** In 0.1.0, these modules were in one folder. */
export async function importKernel(folder: string): Promise<Kernel> {
  const modules = ['object', 'layout/btf', 'maps/maps', 'test-run'] as const
  const found = modules.map((name) =>
    [join(folder, `src/datapath/${name}.ts`), join(folder, `src/datapath/${basename(name)}.ts`)].find(
      existsSync,
    ),
  )
  const imported = await Promise.all(found.map((path) => import(path ?? '') as Promise<object>))
  return Object.assign({}, ...imported) as Kernel
}

export class TestRuns {
  readonly #node: Pick<NodeUnderTest, 'datapath'>
  readonly #kernel: Kernel
  readonly #again: LoadedObject

  constructor(node: NodeUnderTest, kernel: Kernel) {
    this.#node = node
    this.#kernel = kernel
    this.#again = kernel.loadObject({
      objectFile: againObject,
      btf: kernel.readBtf(againObject),
      pinDirectory: join(node.pinDirectory, 'bench'),
      knobs: {},
    })
  }

  /** For a packet of an open flow, many times the same. */
  repeated(program: Program, packet: Buffer, from: Arrival): number {
    const again = this.#again
    const nothing = this.#time(again.programFd('empty'), packet, from, 0)
    return this.#time(this.#node.datapath.programFd(program), packet, from, redirect) - nothing
  }

  #time(programFd: number, packet: Buffer, { ifindex, tunnel }: Arrival, action: number): number {
    const again = this.#again
    const fresh = Buffer.alloc(again.map('fresh').valueSize)
    words(tunnel?.vni ?? 0, tunnel?.node ?? 0).copy(fresh)
    packet.copy(fresh, 8, 0, 54)
    const { put, testRun } = this.#kernel
    put(again.map('fresh'), words(0), fresh)
    put(again.map('target'), words(0), words(programFd))
    return expectAction(action, testRun(again.programFd('again'), Buffer.from(packet), { ifindex }, repeats))
  }

  /** For packets that each begin a flow. The lists are measured in turns, and each is first in half of the turns. */
  firsts(ifindex: number, lists: readonly (readonly Buffer[])[]): number[] {
    const [programFd, emptyFd] = [this.#node.datapath.programFd('from_pod'), this.#again.programFd('empty')]
    const once = (fd: number, packet: Buffer, action: number): number =>
      expectAction(action, this.#kernel.testRun(fd, Buffer.from(packet), { ifindex }))
    const [first = []] = lists
    const nothing: number[] = []
    const times = lists.map((): number[] => [])
    for (const [index, packet] of first.entries()) {
      nothing.push(once(emptyFd, packet, 0))
      const turn = [...lists.keys()]
      for (const which of index % 2 === 0 ? turn : turn.reverse())
        times[which]?.push(once(programFd, lists[which]?.[index] ?? packet, redirect))
    }
    return times.map((each) => median(each) - median(nothing))
  }
}

function expectAction(
  expected: number,
  { action, durationNs }: { readonly action: number; readonly durationNs: number },
): number {
  if (action !== expected) throw new Error(`a test run came to ${action}, not ${expected}`)
  return durationNs
}
