import type { AgentTable } from './desired.ts'
import type { RawChanges } from './maps/maps.ts'

export interface Applied {
  readonly puts: number
  readonly deletes: number
  /** The tables that changed. */
  readonly tables: readonly AgentTable[]
}

export const noChanges: RawChanges = { puts: [], deletes: [] }

export function summarise(
  changes: readonly { readonly name: AgentTable; readonly changes: RawChanges }[],
): Applied {
  const total = (count: (of: RawChanges) => number): number =>
    changes.reduce((sum, one) => sum + count(one.changes), 0)
  return {
    puts: total(({ puts }) => puts.length),
    deletes: total(({ deletes }) => deletes.length),
    tables: changes
      .filter((one) => one.changes.puts.length + one.changes.deletes.length > 0)
      .map(({ name }) => name),
  }
}
