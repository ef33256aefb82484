import { mkdirSync } from 'node:fs'
import { isKernelError, KernelError } from '../linux/libc.ts'
import { type Applied, noChanges, summarise } from './applied.ts'
import { type Count, readCounts } from './counts.ts'
import { type AgentTable, type Desired, encodeDesired, writeOrder } from './desired.ts'
import { HookTaken, type Place } from './hooks/hook-kind.ts'
import { type Attachment, type Direction, Hooks, type Mechanism } from './hooks/hooks.ts'
import { type Btf, readBtf } from './layout/btf.ts'
import { CarryOver, readEarlier } from './maps/carry-over.ts'
import { diff, putAll, type RawChanges, type RawEntries, readEntries, removeAll } from './maps/maps.ts'
import { RingReader, readRing } from './maps/ring-buffer.ts'
import { Table } from './maps/table.ts'
import { takeTurn } from './maps/turn.ts'
import { type Knobs, type LoadedObject, loadObject } from './object.ts'
import { missingRequirements } from './requirements.ts'
import { type SweepAnswer, type SweepTask, sweepRun } from './sweep-run.ts'
import type { TableCodec } from './tables/map-layout.ts'
import {
  type DropRecord,
  dropCodec,
  type FlowEnd,
  flowEndCodec,
  type Passage,
  type PressureRecord,
  passageCodec,
  pressureCodec,
  type TracedFlow,
  tracedFlowCodec,
} from './tables/observation-tables.ts'
import { type TableCodecs, tableCodecs } from './tables/table-codecs.ts'
import { type TestContext, type TestResult, testRun } from './test-run.ts'

export const programs = ['from_pod', 'to_pod', 'from_overlay', 'from_world', 'to_world'] as const
export type Program = (typeof programs)[number]

export interface DatapathOptions {
  /** Default: build/sallyport.bpf.o beside the sources. */
  readonly objectFile?: string
  /** On a BPF file system. Default: /sys/fs/bpf/sallyport */
  readonly pinDirectory?: string
  readonly knobs?: Knobs
  /** `clsact` uses clsact even if the kernel has tcx. */
  readonly mechanism?: Mechanism
}

/** A program that has to be attached before packets need it. */
export interface Guard extends Place {
  readonly program: Program
}

type Tables = {
  readonly [K in keyof TableCodecs]: TableCodecs[K] extends TableCodec<infer K2, infer V>
    ? Table<K2, V>
    : never
}

type EntryOf<T> = T extends Table<infer K, infer V> ? readonly [K, V] : never

export const defaultObjectFile = new URL('../../build/sallyport.bpf.o', import.meta.url).pathname
export const defaultPinDirectory = '/sys/fs/bpf/sallyport'

/**
 * Loads the datapath. Programs of an earlier run keep working on the tables as they are until the first `apply` has
 * filled this load's tables; only then are they replaced, each between two packets. A failure before that changes
 * nothing. Closing lets go of descriptors: programs, maps and attachments stay.
 *
 * Throws an Error of one sentence per missing requirement, each with its remedy.
 */
export function openDatapath(options: DatapathOptions = {}): Datapath {
  const {
    objectFile = defaultObjectFile,
    pinDirectory = defaultPinDirectory,
    knobs = {},
    mechanism,
  } = options
  const missing = missingRequirements(pinDirectory, objectFile)
  if (missing.length > 0) throw new Error(missing.join('; '))
  const btf = readBtf(objectFile)
  const codecs = tableCodecs(btf)
  mkdirSync(pinDirectory, { recursive: true, mode: 0o700 })
  const object = loadObject({ objectFile, btf, pinDirectory, knobs })
  return new Datapath({ objectFile, object, btf, codecs, hooks: new Hooks(pinDirectory, mechanism) })
}

interface Loaded {
  readonly objectFile: string
  readonly object: LoadedObject
  readonly btf: Btf
  readonly codecs: TableCodecs
  readonly hooks: Hooks
}

export class Datapath implements AsyncDisposable {
  /** The object that was loaded. A reader of the raw maps needs their layouts. */
  readonly objectFile: string
  readonly tables: Tables
  readonly btf: Btf
  readonly #object: LoadedObject
  readonly #codecs: TableCodecs
  readonly #hooks: Hooks
  /** The content of the agent's maps. No other process writes them, so they are read once, and again after a failure. */
  readonly #actual = new Map<AgentTable, RawEntries>()
  /** What the maps hold since the last `apply` that succeeded. The same object again needs no comparison. */
  #settled: Partial<Record<AgentTable, RawEntries>> = {}
  #running: Promise<unknown> = Promise.resolve()
  #hasTakenOver = false

  constructor({ objectFile, object, btf, codecs, hooks }: Loaded) {
    this.objectFile = objectFile
    this.#object = object
    this.#codecs = codecs
    this.#hooks = hooks
    this.btf = btf
    this.tables = Object.fromEntries(
      Object.entries(codecs).map(([name, { key, value }]) => [
        name,
        new Table<unknown, unknown>(object.map(name), key as never, value as never),
      ]),
    ) as unknown as Tables
  }

  /**
   * Writes only what differs. Calls run one after another. `guards` are programs that must be attached
   * before this load's programs replace an earlier one's, which may hand them packets.
   */
  apply(desired: Desired, guards: readonly Guard[] = []): Promise<Applied> {
    const applied = this.#running.then(() => this.#apply(desired, guards))
    this.#running = applied.catch(() => {})
    return applied
  }

  async #apply(desired: Desired, guards: readonly Guard[]): Promise<Applied> {
    const wanted = encodeDesired(this.#codecs, desired)
    const settled = this.#settled
    this.#settled = {}
    const changes = writeOrder.map((name) => ({
      name,
      changes: settled[name] === wanted[name] ? noChanges : diff(this.#entries(name), wanted[name]),
    }))
    /* Pods are deleted before others are added. No entry points to a pod, and a full node has no room for both. */
    const pods = changes.find(({ name }) => name === 'pods')
    await this.#write('pods', [], pods?.changes.deletes ?? [])
    for (const { name, changes: of } of changes) await this.#write(name, of.puts, [])
    /* Programs of an earlier load may still follow entries to what is deleted here, so they are replaced first. */
    if (!this.#hasTakenOver) await this.#takeOver(guards)
    for (const { name, changes: of } of changes.toReversed())
      if (name !== 'pods') await this.#write(name, [], of.deletes)
    this.#settled = wanted
    return summarise(changes)
  }

  #entries(name: AgentTable): RawEntries {
    const known = this.#actual.get(name)
    if (known !== undefined) return known
    const { raw } = this.tables[name]
    /* An array has its one entry from the start. If it is all zero, it counts as absent. It cannot be deleted. */
    const entries = name === 'self' ? new Map<string, Buffer>() : readEntries(raw)
    this.#actual.set(name, entries)
    return entries
  }

  /** Writes in chunks, with a turn for the process in between. */
  async #write(name: AgentTable, puts: RawChanges['puts'], deletes: RawChanges['deletes']): Promise<void> {
    const { raw } = this.tables[name]
    const entries = this.#entries(name)
    try {
      for (const _chunk of putAll(raw, puts)) if (puts.length > 1) await takeTurn()
      for (const _chunk of removeAll(raw, deletes)) if (deletes.length > 1) await takeTurn()
    } catch (error) {
      this.#actual.delete(name)
      throw error
    }
    for (const [key, value] of puts) entries.set(key.toString('latin1'), value)
    for (const key of deletes) entries.delete(key.toString('latin1'))
  }

  /** Replaces an earlier load's programs with this load's, everywhere or nowhere. */
  async #takeOver(guards: readonly Guard[]): Promise<void> {
    using flows = new CarryOver(this.#object, this.btf)
    await flows.copy()
    for (const guard of guards) this.#attachGuard(guard)
    this.#hooks.replaceAll((program) => this.#object.programFd(program))
    this.#hasTakenOver = true
    await flows.finish()
    this.#object.unpinEarlier()
  }

  /** What the programs that run now use. After an upgrade it is in a map of another layout until the first `apply`. */
  present<N extends 'egress_ips' | 'pools'>(name: N): EntryOf<Tables[N]>[] {
    const table: Table<unknown, unknown> = this.tables[name] as never
    const pin = this.#hasTakenOver ? undefined : this.#object.earlierPins.get(name)
    const decoded = ([key, value]: readonly [Buffer, Buffer]) => [
      table.key.decode(key),
      table.value.decode(value),
    ]
    const entries = pin === undefined ? [...table.entries()] : readEarlier(name, pin, this.btf).map(decoded)
    return entries as EntryOf<Tables[N]>[]
  }

  /** What the agent has written. Tables that it has not read yet are missing. */
  get written(): ReadonlyMap<AgentTable, RawEntries> {
    return this.#actual
  }

  /** An earlier load's stays until all are replaced. The caller attaches all hooks later, and learns then which failed. */
  #attachGuard({ program, ifindex, direction }: Guard): void {
    const isAttached = this.#hooks
      .list()
      .some((each) => each.program === program && each.ifindex === ifindex && each.direction === direction)
    if (isAttached) return
    try {
      this.attach(program, ifindex, direction)
    } catch (error) {
      if (!(error instanceof HookTaken) && !isKernelError(error, 'ENODEV')) throw error
    }
  }

  /** Attaches a program to a device, or replaces an earlier load of it in place. */
  attach(program: Program, ifindex: number, direction: Direction = 'ingress'): Attachment {
    return this.#hooks.attach(program, this.#object.programFd(program), ifindex, direction)
  }

  detach(attachment: Attachment): void {
    this.#hooks.detach(attachment)
  }

  /** With which the programs were loaded. */
  get knobs(): Knobs {
    return this.#object.knobs
  }

  /** The programs that are attached to devices, from this load or an earlier one. */
  attachments(): Attachment[] {
    return this.#hooks.list()
  }

  /** Packets by program and verdict since the maps were created, summed over all CPUs. Zeros are left out. */
  counts(only?: Program): Count[] {
    return readCounts(this.btf, this.tables.counters, only)
  }

  /** Yields packets as they are dropped, until the signal. It is not for counting, because a slow reader misses some. */
  drops(signal: AbortSignal): AsyncGenerator<DropRecord> {
    return readRing({ ...this.#object.map('drops') }, dropCodec(this.btf), signal)
  }

  /** Yields pools of egress IPs that run low on free ports, until the signal. */
  pressure(signal: AbortSignal): AsyncGenerator<PressureRecord> {
    return readRing({ ...this.#object.map('pressures') }, pressureCodec(this.btf), signal)
  }

  /** Reads each ended flow once. The kernel keeps unread flows. Only with the knob `flow_log`. */
  flowEnds(handle: (end: FlowEnd) => void): RingReader<FlowEnd> {
    return new RingReader({ ...this.#object.map('flow_ends') }, flowEndCodec(this.btf), handle)
  }

  /**
   * Lets the program judge entries of a table and remove expired ones, under the lock that packets take. Returns an answer
   * for each key, in their order.
   */
  sweep(task: SweepTask, keys: readonly Buffer[]): SweepAnswer[] {
    return sweepRun(this.#object.programFd('sweep'), this.btf, task, keys)
  }

  /**
   * Follows a test packet: yields each time that a program of this node has handled a packet of it, until the signal. One at a time: a second
   * call takes the place of the first.
   */
  async *passages(traced: TracedFlow, signal: AbortSignal): AsyncGenerator<Passage> {
    const codec = tracedFlowCodec(this.btf)
    const read = readRing({ ...this.#object.map('passages') }, passageCodec(this.btf), signal)
    this.#object.setVariable('traced_flow', codec.encode(traced))
    try {
      yield* read
    } finally {
      this.#object.setVariable('traced_flow', Buffer.alloc(codec.size))
    }
  }

  /** Sends a packet, which begins with its Ethernet header, in by a device, as if the far side of its veth pair had sent it. */
  inject(packet: Buffer, ifindex: number): void {
    const { action } = testRun(this.#object.programFd('inject'), packet, { ifindex })
    if (action < 0) throw new KernelError(`send a packet by device ${ifindex}`, -action)
  }

  /** Runs a program on one packet, for tests. */
  testRun(program: Program, packet: Buffer, context?: TestContext, repeat?: number): TestResult {
    return testRun(this.programFd(program), packet, context, repeat)
  }

  /** For measurements. */
  programFd(program: Program): number {
    return this.#object.programFd(program)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running
    this.#object[Symbol.dispose]()
  }
}
