import { join } from 'node:path'
import type { Program } from '../src/datapath/datapath.ts'
import { readBtf } from '../src/datapath/layout/btf.ts'
import { put } from '../src/datapath/maps/maps.ts'
import { type LoadedObject, loadObject } from '../src/datapath/object.ts'
import { testRun } from '../src/datapath/test-run.ts'
import type { NodeUnderTest } from '../test/packets/node-under-test.ts'
import { againObject, median } from './tools.ts'

/*
 * The nanoseconds that a program takes for a packet, measured by test runs in the kernel, minus those of an empty program
 */

const repeats = 1_000_000
const runs = 7
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

export class TestRuns implements Disposable {
  readonly #node: NodeUnderTest
  readonly #again: LoadedObject

  constructor(node: NodeUnderTest) {
    this.#node = node
    this.#again = loadObject({
      objectFile: againObject,
      btf: readBtf(againObject),
      pinDirectory: join(node.pinDirectory, 'bench'),
      knobs: {},
    })
  }

  /** For a packet of an open flow, a million times the same. */
  repeated(program: Program, packet: Buffer, from: Arrival): number {
    const again = this.#again
    const nothing = this.#time(again.programFd('empty'), packet, from, 0)
    return Math.max(0, this.#time(this.#node.datapath.programFd(program), packet, from, redirect) - nothing)
  }

  #time(programFd: number, packet: Buffer, { ifindex, tunnel }: Arrival, action: number): number {
    const again = this.#again
    const fresh = Buffer.alloc(again.map('fresh').valueSize)
    words(tunnel?.vni ?? 0, tunnel?.node ?? 0).copy(fresh)
    packet.copy(fresh, 8, 0, 54)
    put(again.map('fresh'), words(0), fresh)
    put(again.map('target'), words(0), words(programFd))
    return median(
      Array.from({ length: runs }, () =>
        expectAction(action, testRun(again.programFd('again'), Buffer.from(packet), { ifindex }, repeats)),
      ),
    )
  }

  /** For packets that each begin a flow. The lists are measured in turns, and each is first in half of the turns. */
  firsts(ifindex: number, lists: readonly (readonly Buffer[])[]): number[] {
    const [programFd, emptyFd] = [this.#node.datapath.programFd('from_pod'), this.#again.programFd('empty')]
    const once = (fd: number, packet: Buffer, action: number): number =>
      expectAction(action, testRun(fd, Buffer.from(packet), { ifindex }))
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

  [Symbol.dispose](): void {
    this.#again[Symbol.dispose]()
  }
}

function expectAction(
  expected: number,
  { action, durationNs }: { readonly action: number; readonly durationNs: number },
): number {
  if (action !== expected) throw new Error(`a test run came to ${action}, not ${expected}`)
  return durationNs
}
