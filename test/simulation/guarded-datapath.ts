import type { Applied } from '../../src/datapath/applied.ts'
import { Datapath } from '../../src/datapath/datapath.ts'
import type { Desired } from '../../src/datapath/desired.ts'
import { readAll } from '../../src/datapath/maps/maps.ts'
import { Table } from '../../src/datapath/maps/table.ts'
import type { SweepAnswer, SweepTask } from '../../src/datapath/sweep-run.ts'
import type { PressureRecord } from '../../src/datapath/tables/observation-tables.ts'
import { Arrivals } from '../../src/linux/arrivals.ts'
import type { LoadedPrograms } from './loaded-programs.ts'
import type { SimulatedProcess } from './process.ts'

class GuardedTable<K, V> extends Table<K, V> {
  readonly #touch: () => void

  constructor({ raw, key, value }: Table<K, V>, touch: () => void) {
    super(raw, key, value)
    this.#touch = touch
  }

  override set(key: K, value: V): void {
    this.#touch()
    super.set(key, value)
  }

  override delete(key: K): boolean {
    this.#touch()
    return super.delete(key)
  }

  /** By key: the kernel's own order is another one in every map that it makes. */
  override *entries(): Generator<readonly [K, V]> {
    const entries = [...readAll(this.raw)].flat().sort(([a], [b]) => a.compare(b))
    for (const [key, value] of entries) yield [this.key.decode(key), this.value.decode(value)]
  }
}

export interface DatapathSides {
  /** A sweep asks the program, which asks for the time. */
  readonly beforeRun: () => void
  readonly onApplied: (applied: Applied) => void
}

/** How many records wait for a process that is slow or frozen. */
const waitingRecords = 4096

/** The programs and maps as one process has opened them: once it is dead it changes nothing more. */
export class GuardedDatapath extends Datapath {
  readonly #touch: () => void
  readonly #sides: DatapathSides
  readonly #pressed = new Arrivals<PressureRecord>(waitingRecords)

  constructor(programs: LoadedPrograms, process: SimulatedProcess, sides: DatapathSides) {
    const touch = (): void => process.touch()
    super(programs.loaded(touch))
    this.#touch = touch
    this.#sides = sides
    for (const [name, table] of Object.entries(this.tables))
      Object.assign(this.tables, { [name]: new GuardedTable(table as Table<unknown, unknown>, touch) })
  }

  override async apply(desired: Desired): Promise<Applied> {
    this.#touch()
    const applied = await super.apply(desired)
    this.#sides.onApplied(applied)
    return applied
  }

  override sweep(task: SweepTask, keys: readonly Buffer[]): SweepAnswer[] {
    this.#touch()
    this.#sides.beforeRun()
    return super.sweep(task, keys)
  }

  override pressure(signal: AbortSignal): AsyncGenerator<PressureRecord> {
    return this.#pressed.until(signal)
  }

  /** Records of the ring buffer that have just come. */
  notePressure(records: readonly PressureRecord[]): void {
    for (const record of records) this.#pressed.push(record)
  }
}
