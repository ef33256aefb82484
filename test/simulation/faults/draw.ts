import * as apiServer from './api-server.ts'
import type { Fault, FaultContext, MakeFault } from './fault.ts'
import * as machines from './machines.ts'
import * as network from './network.ts'
import * as processes from './processes.ts'
import * as workload from './workload.ts'

/** By the name of its function. */
export const allFaults: ReadonlyMap<string, MakeFault> = new Map(
  [processes, network, apiServer, machines, workload].flatMap((file) =>
    Object.entries(file).filter((entry): entry is [string, MakeFault] => typeof entry[1] === 'function'),
  ),
)

/** So many things go wrong at once. */
const maxActive = 4

/** The next fault; undefined where another one is in its way, which happens, or there are enough. */
export function drawFault(
  context: FaultContext,
  active: readonly Fault[],
  kinds: readonly MakeFault[],
): Fault | undefined {
  if (active.length >= maxActive) return undefined
  const fault = context.random.pick(kinds)(context)
  if (fault === undefined || active.some(({ subject }) => subject === fault.subject)) return undefined
  return fault
}

export type { Fault }
