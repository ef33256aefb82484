import type { Btf } from './layout/btf.ts'
import { lookupPerCpu } from './maps/maps.ts'
import type { Table } from './maps/table.ts'

export interface Count {
  readonly program: string
  readonly verdict: string
  readonly packets: bigint
  readonly bytes: bigint
}

type Counters = Table<number, { readonly packets: bigint; readonly bytes: bigint }>

/** What the programs counted, summed over all CPUs, of all programs or of `only` one. Zeros are left out. */
export function readCounts(btf: Btf, { raw, key, value }: Counters, only?: string): Count[] {
  const verdicts = btf.enumeration('verdict')
  const verdictCount = verdicts.get('VERDICTS') ?? 0
  const counts: Count[] = []
  for (const [program, programIndex] of btf.enumeration('program')) {
    if (program === 'PROGRAMS' || (only !== undefined && program !== only.toUpperCase())) continue
    for (const [verdict, index] of verdicts) {
      if (index >= verdictCount) continue
      const perCpu = lookupPerCpu(raw, key.encode(programIndex * verdictCount + index)).map((bytes) =>
        value.decode(bytes),
      )
      const packets = perCpu.reduce((sum, counter) => sum + counter.packets, 0n)
      const bytes = perCpu.reduce((sum, counter) => sum + counter.bytes, 0n)
      if (packets > 0n) counts.push({ program, verdict, packets, bytes })
    }
  }
  return counts
}
