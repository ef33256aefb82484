import type { Cluster } from '../cluster.ts'
import type { Machine } from '../machine.ts'
import type { TableSnapshot } from '../table-snapshots.ts'
import type { Invariant } from './invariant.ts'

/** No port has two owners that gateways would both accept. Looked at whenever an agent has written tables. */
export function portsHaveOneOwner(cluster: Cluster): Invariant {
  let hasChanged = false
  return {
    name: 'no port has two owners that gateways would both accept',
    onApplied(): void {
      hasChanged = true
    },
    check(): string | undefined {
      if (!hasChanged) return undefined
      hasChanged = false
      return secondOwner(cluster.snapshots)
    },
  }
}

function secondOwner(snapshots: ReadonlyMap<Machine, TableSnapshot>): string | undefined {
  const users = new Map<string, Machine>()
  for (const [machine, { pools }] of snapshots)
    for (const [address, blocks] of pools) {
      const accepting = [...snapshots.values()].filter(
        ({ slots }) => slots.get(machine.address) !== undefined,
      )
      for (const block of blocks) {
        const isAccepted = accepting.some(
          ({ slots, owners }) => owners.get(address)?.[block] === slots.get(machine.address),
        )
        if (!isAccepted) continue
        const key = `${address} ${block}`
        const before = users.get(key)
        if (before !== undefined && before !== machine)
          return `ports ${block * 16}-${block * 16 + 15} of ${address} are used by ${before.name} and by ${machine.name}, and gateways accept both`
        users.set(key, machine)
      }
    }
  return undefined
}
