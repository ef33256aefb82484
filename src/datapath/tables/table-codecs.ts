import type { Btf } from '../layout/btf.ts'
import { flowTables } from './flow-tables.ts'
import { linkTables } from './link-tables.ts'
import { observationTables } from './observation-tables.ts'
import { policyTables } from './policy-tables.ts'
import { portTables } from './port-tables.ts'
import { serviceTables } from './service-tables.ts'
import { simulatedTables } from './simulated-tables.ts'

/** The codecs of all maps, by the map's name. */
export const tableCodecs = (btf: Btf) => ({
  ...policyTables(btf),
  ...portTables(btf),
  ...linkTables(btf),
  ...flowTables(btf),
  ...serviceTables(btf),
  ...observationTables(btf),
  ...simulatedTables(btf),
})

export type TableCodecs = ReturnType<typeof tableCodecs>
