import { join } from 'node:path'
import koffi from 'koffi'
import { Datapath, defaultObjectFile } from '../../src/datapath/datapath.ts'
import type { Attachment } from '../../src/datapath/hooks/hooks.ts'
import { type Btf, readBtf } from '../../src/datapath/layout/btf.ts'
import { libbpf } from '../../src/datapath/libbpf.ts'
import { type RawMap, readAll } from '../../src/datapath/maps/maps.ts'
import { type LoadedObject, loadObject } from '../../src/datapath/object.ts'
import { type PressureRecord, pressureCodec } from '../../src/datapath/tables/observation-tables.ts'
import { type TableCodecs, tableCodecs } from '../../src/datapath/tables/table-codecs.ts'
import { RunRecord } from './run-record.ts'

const knobs = { simulated_clock: 1, simulated_tunnel: 1, simulated_host: 1, drop_records: 0, link_path: 1 }

/** Entries of arrays cannot be deleted, only be zero. Those of `perCpu` have a value for each CPU. */
const arrays: ReadonlySet<string> = new Set(['self', 'liveness', 'simulated_run', 'counters', 'drop_budgets'])
const perCpu: ReadonlySet<string> = new Set(['counters', 'drop_budgets'])

/**
 * The programs and maps of one machine, in the kernel. To load them costs a second, so a seed takes those of the seed before, emptied.
 * They outlive agents, as pinned ones do.
 */
export class LoadedPrograms {
  readonly object: LoadedObject
  readonly btf: Btf
  readonly codecs: TableCodecs
  /** For the simulation itself, which writes what it likes. */
  readonly datapath: Datapath
  readonly runRecord: RunRecord
  /** What is attached to devices. */
  readonly attachments: Attachment[] = []
  readonly #pressed: PressureRecord[] = []
  readonly #ring: unknown

  constructor(pinDirectory: string, replacesKubeProxy: boolean) {
    this.btf = readBtf(defaultObjectFile)
    this.codecs = tableCodecs(this.btf)
    const object = loadObject({
      objectFile: defaultObjectFile,
      btf: this.btf,
      pinDirectory,
      knobs: { ...knobs, replaces_kube_proxy: Number(replacesKubeProxy) },
    })
    /* An agent that stops closes what it has opened. */
    this.object = { ...object, unpinEarlier: () => {}, [Symbol.dispose]: () => {} }
    this.datapath = new Datapath(this.loaded(() => {}))
    this.runRecord = new RunRecord(this.datapath.tables.simulated_run.raw, this.btf)
    const codec = pressureCodec(this.btf)
    const take = koffi.register((_context: unknown, data: unknown, size: number): number => {
      this.#pressed.push(codec.decode(Buffer.from(koffi.view(data, Number(size)).slice(0))))
      return 0
    }, 'ring_buffer_sample_fn *')
    this.#ring = libbpf().ringNew(object.map('pressures').fd, take, null, null)
  }

  /** What a Datapath is made of: its hooks are those of the simulated devices. `touch` comes before every change. */
  loaded(touch: () => void): ConstructorParameters<typeof Datapath>[0] {
    const { attachments } = this
    const hooks = {
      list: (): Attachment[] => [...attachments],
      attach(program: string, _fd: number, ifindex: number, direction: Attachment['direction']): Attachment {
        touch()
        const attachment = { program, ifindex, direction, mechanism: 'tcx' } as const
        if (!isAttached(attachments, program, ifindex)) attachments.push(attachment)
        return attachment
      },
      detach(attachment: Attachment): void {
        touch()
        const at = attachments.findIndex(
          ({ program, ifindex }) => program === attachment.program && ifindex === attachment.ifindex,
        )
        if (at >= 0) attachments.splice(at, 1)
      },
      replaceAll: touch,
    }
    return {
      objectFile: defaultObjectFile,
      object: this.object,
      btf: this.btf,
      codecs: this.codecs,
      hooks: hooks as never,
    }
  }

  isAttached(program: string, ifindex: number): boolean {
    return isAttached(this.attachments, program, ifindex)
  }

  /** What the programs have said of crowded pools since this was last asked. */
  takePressure(): PressureRecord[] {
    libbpf().ringConsume(this.#ring)
    return this.#pressed.splice(0)
  }

  /** As after a boot of the machine. */
  clear(): void {
    this.attachments.length = 0
    this.takePressure()
    for (const [name, { raw }] of Object.entries(this.datapath.tables)) {
      if (arrays.has(name)) fillWithZeros(raw, perCpu.has(name))
      else for (const key of keysOf(raw)) libbpf().remove(raw.fd, key)
    }
  }
}

function fillWithZeros({ fd, maxEntries, valueSize }: RawMap, isPerCpu: boolean): void {
  const size = isPerCpu ? ((valueSize + 7) & ~7) * libbpf().possibleCpus() : valueSize
  const zeros = Buffer.alloc(size)
  const key = Buffer.alloc(4)
  for (let index = 0; index < maxEntries; index++) {
    key.writeUInt32LE(index)
    libbpf().update(fd, key, zeros, 0)
  }
}

function keysOf(raw: RawMap): Buffer[] {
  return [...readAll(raw)].flatMap((chunk) => chunk.map(([key]) => key))
}

function isAttached(attachments: readonly Attachment[], wanted: string, index: number): boolean {
  return attachments.some(({ program, ifindex }) => program === wanted && ifindex === index)
}

/** As many machines as a simulation needs, kept from seed to seed. */
export class ProgramPool {
  readonly #bpffs: string
  /** By whether they translate Services. */
  readonly #all: Readonly<Record<string, LoadedPrograms[]>> = { true: [], false: [] }

  constructor(bpffs: string) {
    this.#bpffs = bpffs
  }

  get(index: number, replacesKubeProxy: boolean): LoadedPrograms {
    const all = this.#all[`${replacesKubeProxy}`] as LoadedPrograms[]
    while (all.length <= index) {
      const name = `machine-${all.length}${replacesKubeProxy ? '-services' : ''}`
      all.push(new LoadedPrograms(join(this.#bpffs, name), replacesKubeProxy))
    }
    const programs = all[index] as LoadedPrograms
    programs.clear()
    return programs
  }
}
