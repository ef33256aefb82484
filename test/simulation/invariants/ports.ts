import type { Address } from '../../../src/net/address.ts'
import type { Cluster } from '../cluster.ts'
import type { Machine } from '../machine.ts'
import type { Invariant } from './invariant.ts'

interface Snapshot {
  /** By egress IP, the blocks that this node may take ports from. */
  readonly pools: ReadonlyMap<Address, readonly number[]>
  readonly owners: ReadonlyMap<Address, readonly (number | 'self' | undefined)[]>
  /** By tunnel address, the slot that this node takes another for. */
  readonly slots: ReadonlyMap<Address, number | undefined>
}

function read({ programs }: Machine): Snapshot {
  const { pools, egress_ips, nodes } = programs.datapath.tables
  return {
    pools: new Map(
      [...pools.entries()].flatMap(([{ address, purpose }, blocks]) =>
        purpose === 'egress' ? [[address, blocks] as const] : [],
      ),
    ),
    owners: new Map([...egress_ips.entries()].map(([address, { blockOwner }]) => [address, blockOwner])),
    slots: new Map([...nodes.entries()].map(([address, { slot }]) => [address, slot])),
  }
}

/** No port has two owners that gateways would both accept. Looked at whenever an agent has written tables. */
export function portsHaveOneOwner(cluster: Cluster): Invariant {
  const snapshots = new Map<Machine, Snapshot>()
  let hasChanged = false
  return {
    name: 'no port has two owners that gateways would both accept',
    onApplied(machine: Machine): void {
      snapshots.set(machine, read(machine))
      hasChanged = true
    },
    check(): string | undefined {
      if (!hasChanged) return undefined
      hasChanged = false
      for (const machine of snapshots.keys()) if (!machine.isOn) snapshots.delete(machine)
      return secondOwner(snapshots)
    },
  }
}

function secondOwner(snapshots: ReadonlyMap<Machine, Snapshot>): string | undefined {
  const users = new Map<string, Machine>()
  for (const [machine, { pools }] of snapshots)
    for (const [address, blocks] of pools) {
      const accepting = [...snapshots.values()].filter(({ slots }) => slots.get(machine.address) !== undefined)
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
