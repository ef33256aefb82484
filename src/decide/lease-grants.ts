import type { EgressAddress, PortLease } from '../api/egress-address.ts'
import { egressAddressName } from '../api/egress-address-name.ts'
import type { EgressNode } from '../api/egress-node.ts'
import { type Address, parseAddress } from '../net/address.ts'
import { type Given, leasableBlocks, lendableSlots } from './leasable-blocks.ts'
import { type LeaseTable, leasesByAddress, leasesOfTable, tableOfLeases } from './lease-table.ts'
import { releasedBlocks } from './lease-use.ts'
import { slotsByNode } from './slots.ts'

/** What the operator grants by. */
export interface LeaseSituation {
  readonly egressNodes: readonly EgressNode[]
  readonly egressAddresses: readonly EgressAddress[]
  /** Names of the nodes that are there: others are given nothing. */
  readonly present: ReadonlySet<string>
  /** Names of the nodes that have been gone for so long that what they had may be others'. */
  readonly gone: ReadonlySet<string>
  /** Addresses that nodes share with their own sockets. */
  readonly nodeAddresses: ReadonlySet<Address>
  readonly given: Given
}

/** What becomes of the leases of one address. */
export interface AddressPlan {
  readonly address: Address
  /** The object, if there is one. */
  readonly object: EgressAddress | undefined
  readonly leases: readonly PortLease[]
  readonly isChanged: boolean
  /** Blocks that can be leased in all, and those of them that are left. */
  readonly leasable: number
  readonly left: number
  /** Some node wants more than there is. */
  readonly isShort: boolean
}

/**
 * Who may use which further ports of which address. Every fact that a port changes hands by only ever becomes truer (a
 * node gave a block back; it has confirmed to know that the block is ending), and the object is written only as it was
 * read: an operator that acts on what it knew a while ago hands nothing to two nodes.
 */
export function planLeases(situation: LeaseSituation): readonly AddressPlan[] {
  const demands = demandsByAddress(situation)
  const lendable = lendableSlots(situation.given)
  const known = leasesByAddress(situation.egressAddresses).keys()
  return [...new Set([...known, ...demands.keys()])].sort().map((address) => {
    const object = situation.egressAddresses.find(
      ({ metadata }) => metadata.name === egressAddressName(address),
    )
    const before = object?.spec.leases ?? []
    const table = tableOfLeases(before)
    takeBack(table, address, object?.metadata.generation ?? 0, situation)
    const isNodeAddress = situation.nodeAddresses.has(address)
    const all = leasableBlocks(isNodeAddress, situation.given.slots, lendable)
    const elsewhere = tableOfLeases(leasesElsewhere(situation, address))
    const free = all.filter((block) => table[block] === undefined && elsewhere[block] === undefined)
    const left = grant(table, free, demands.get(address) ?? [])
    const leases = leasesOfTable(table)
    return {
      address,
      object,
      leases,
      isChanged: JSON.stringify(leases) !== JSON.stringify(leasesOfTable(tableOfLeases(before))),
      leasable: all.length,
      left: left.length,
      isShort: (demands.get(address) ?? []).some(({ slot, blocks }) => heldBy(table, slot) < blocks),
    }
  })
}

/** Another object for the same address is somebody's own doing; what it leases is not free. */
function leasesElsewhere({ egressAddresses }: LeaseSituation, address: Address): readonly PortLease[] {
  return egressAddresses
    .filter(
      ({ metadata, spec }) =>
        metadata.name !== egressAddressName(address) && parseAddress(spec.address) === address,
    )
    .flatMap(({ spec }) => spec.leases ?? [])
}

interface Demand {
  readonly slot: number
  /** In all. */
  readonly blocks: number
}

function demandsByAddress({ egressNodes, present }: LeaseSituation): ReadonlyMap<Address, readonly Demand[]> {
  const slots = slotsByNode(egressNodes)
  const demands = new Map<Address, Demand[]>()
  for (const { metadata, status } of egressNodes) {
    const slot = slots.get(metadata.name)
    if (slot === undefined || !present.has(metadata.name)) continue
    for (const { address: text, blocks } of status?.demand ?? []) {
      const address = parseAddress(text)
      if (address !== undefined && blocks > 0)
        demands.set(address, [...(demands.get(address) ?? []), { slot, blocks }])
    }
  }
  return demands
}

/**
 * A block that its node gives back is marked first. It is free when the node gives it back knowing of the mark: an agent
 * that was started anew meanwhile, and knew nothing of what its predecessor gave back, knows by then.
 */
function takeBack(table: LeaseTable, address: Address, revision: number, situation: LeaseSituation): void {
  const slots = slotsByNode(situation.egressNodes)
  for (const egressNode of situation.egressNodes) {
    const slot = slots.get(egressNode.metadata.name)
    if (slot === undefined) continue
    if (situation.gone.has(egressNode.metadata.name)) {
      for (const [block, entry] of table.entries()) if (entry?.slot === slot) table[block] = undefined
      continue
    }
    for (const [block, knownRevision] of releasedBlocks(egressNode).get(address) ?? []) {
      const entry = table[block]
      if (entry?.slot !== slot) continue
      if (!entry.isEnding) table[block] = { slot, isEnding: true }
      else if (knownRevision >= revision) table[block] = undefined
    }
  }
}

/** Who has least comes first. Returns what is left. */
function grant(table: LeaseTable, free: readonly number[], demands: readonly Demand[]): readonly number[] {
  let left = free
  const missing = demands
    .map(({ slot, blocks }) => ({ slot, blocks: blocks - heldBy(table, slot), held: heldBy(table, slot) }))
    .filter(({ blocks }) => blocks > 0)
    .sort((a, b) => a.held - b.held || a.slot - b.slot)
  for (const { slot, blocks } of missing) {
    for (const block of left.slice(0, blocks)) table[block] = { slot, isEnding: false }
    left = left.slice(blocks)
  }
  return left
}

function heldBy(table: LeaseTable, slot: number): number {
  return table.filter((entry) => entry?.slot === slot && !entry.isEnding).length
}
