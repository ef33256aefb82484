import type { Cluster } from '../cluster.ts'
import type { Invariant } from './invariant.ts'

/** Whatever happens to the cluster, its processes go on until they are told to stop, or killed. */
export function processesNeverCrash(cluster: Cluster): Invariant {
  return {
    name: 'no process crashes',
    sample(): string | undefined {
      for (const { process } of cluster.processes)
        if (process.crash !== undefined)
          return `${process.name}: ${process.crash.stack ?? process.crash.message}`
      return undefined
    },
  }
}
