import { isDeepStrictEqual } from 'node:util'
import type { EgressAddress, PortLease } from '../../api/egress-address.ts'
import { egressAddressName } from '../../api/egress-address-name.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import { oncePerObject } from '../once-per-object.ts'
import { type Demand, planReturns, type Return } from './fair-shares.ts'
import { type Given, leasableBlocks, lendableSlots } from './leasable-blocks.ts'
import {
  type AddressLeases,
  type LeasedBlock,
  type LeaseTable,
  leasesByAddress,
  leasesOfTable,
  leaseTableOf,
  tableOfLeases,
} from './lease-table.ts'
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
  /** Slots that have leases and were nobody's for as long. */
  readonly orphaned: ReadonlySet<number>
  /** Addresses that nodes share with their own sockets. */
  readonly nodeAddresses: ReadonlySet<Address>
  readonly given: Given
  /** Blocks that new flows may have. */
  readonly usable: ReadonlySet<number>
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
  /** What nodes with more than their share are to return then. */
  readonly returns: readonly Return[]
}

/**
 * Who may use which further ports of which address. Every fact that a port changes hands by only ever becomes truer (a
 * node gave a block back; it has confirmed to know that the block is ending), and the object is written only as it was
 * read: an operator that acts on what it knew a while ago hands nothing to two nodes.
 */
export function planLeases(situation: LeaseSituation): readonly AddressPlan[] {
  const { egressAddresses, given, nodeAddresses, usable } = situation
  const demands = demandsByAddress(situation)
  const elsewhere = leasesElsewhere(egressAddresses)
  const lendable = lendableSlots(given)
  const leasable = (isNodeAddress: boolean): Leasable => {
    const inOrder = leasableBlocks(isNodeAddress, { slots: given.slots, usable }, lendable)
    return { inOrder, all: new Set(inOrder) }
  }
  const [ofEgressIp, ofNodeAddress] = [leasable(false), leasable(true)]
  const objects = new Map(egressAddresses.map((object) => [object.metadata.name, object]))
  const known = leasesByAddress(egressAddresses)
  const returned = returnedBlocks(situation, known)
  return [...new Set([...known.keys(), ...demands.keys()])].sort().map((address) => ({
    address,
    ...planAddress({
      object: objects.get(egressAddressName(address)),
      leasable: nodeAddresses.has(address) ? ofNodeAddress : ofEgressIp,
      elsewhere: elsewhere.get(address),
      wanted: demands.get(address) ?? [],
      returned: { gone: returned.gone, blocks: returned.blocks.get(address) ?? [] },
    }),
  }))
}

interface Leasable {
  /** The next to go first. */
  readonly inOrder: readonly number[]
  readonly all: ReadonlySet<number>
}

interface AddressSituation {
  readonly object: EgressAddress | undefined
  readonly leasable: Leasable
  readonly elsewhere: Readonly<LeaseTable> | undefined
  readonly wanted: readonly Demand[]
  readonly returned: Returned<readonly ReturnedBlock[]>
}

const listOf = oncePerObject(leasesOfTable)
const heldIn = oncePerObject(heldBySlot)
const takenIn = oncePerObject((table: Readonly<LeaseTable>): readonly number[] =>
  [...table.keys()].filter((block) => table[block] !== undefined),
)

/** Most addresses are as they were when they were looked at last: those are seen through at a glance. */
function planAddress(situation: AddressSituation): Omit<AddressPlan, 'address'> {
  const { object, leasable, elsewhere, wanted, returned } = situation
  const before = leaseTableOf(object?.spec.leases ?? none)
  const outcome = { object, leasable: leasable.inOrder.length }
  const { isShort: wasShort = false, returns: asked = nothing } = object?.spec ?? {}
  const isQuiet = returned.gone.size === 0 && returned.blocks.length === 0 && !wasShort && asked.length === 0
  if (isQuiet && isMet(wanted, heldIn(before))) {
    const taken = new Set([...takenIn(before), ...(elsewhere === undefined ? [] : takenIn(elsewhere))])
    const left = outcome.leasable - [...taken].filter((block) => leasable.all.has(block)).length
    return { ...outcome, leases: listOf(before), isChanged: false, left, isShort: false, returns: nothing }
  }
  const table = [...before]
  takeBack(table, returned, object?.metadata.generation ?? 0)
  const free = leasable.inOrder.filter(
    (block) => table[block] === undefined && elsewhere?.[block] === undefined,
  )
  const left = grant(table, free, wanted).length
  const held = heldBySlot(table)
  const isShort = !isMet(wanted, held)
  const ending = table.filter((entry) => entry?.isEnding).length
  const returns = isShort ? planReturns(wanted, held, left + ending) : nothing
  const areLeasesChanged = table.some((entry, block) => !isSame(entry, before[block]))
  return {
    ...outcome,
    left,
    leases: leasesOfTable(table),
    isChanged: areLeasesChanged || isShort !== wasShort || !isDeepStrictEqual(returns, asked),
    isShort,
    returns,
  }
}

const none: readonly PortLease[] = []
const nothing: readonly Return[] = []

function isMet(wanted: readonly Demand[], held: ReadonlyMap<number, number>): boolean {
  return wanted.every(({ slot, blocks }) => (held.get(slot) ?? 0) >= blocks)
}

function isSame(one: LeasedBlock | undefined, other: LeasedBlock | undefined): boolean {
  return one === other || (one?.slot === other?.slot && one?.isEnding === other?.isEnding)
}

/** Another object for the same address is somebody's own doing; what it leases is not free. */
function leasesElsewhere(
  egressAddresses: readonly EgressAddress[],
): ReadonlyMap<Address, Readonly<LeaseTable>> {
  const leases = new Map<Address, readonly PortLease[]>()
  for (const object of egressAddresses) {
    const address = strayAddress(object)
    if (address === undefined) continue
    leases.set(address, [...(leases.get(address) ?? none), ...(object.spec.leases ?? none)])
  }
  return new Map([...leases].map(([address, each]) => [address, tableOfLeases(each)]))
}

const strayAddress = oncePerObject(({ metadata, spec }: EgressAddress): Address | undefined => {
  const address = parseAddress(spec.address)
  return address === undefined || metadata.name === egressAddressName(address) ? undefined : address
})

function demandsByAddress({ egressNodes, present }: LeaseSituation): ReadonlyMap<Address, readonly Demand[]> {
  const slots = slotsByNode(egressNodes)
  const demands = new Map<Address, Demand[]>()
  for (const { metadata, status } of egressNodes) {
    const slot = slots.get(metadata.name)
    if (slot === undefined || !present.has(metadata.name)) continue
    for (const { address: text, blocks } of status?.demand ?? []) {
      const address = parseAddress(text)
      if (address === undefined || blocks <= 0) continue
      const demand = { slot, blocks }
      const others = demands.get(address)
      if (others === undefined) demands.set(address, [demand])
      else others.push(demand)
    }
  }
  return demands
}

interface ReturnedBlock {
  readonly slot: number
  readonly block: number
  /** The revision of the address's leases that its node knew. */
  readonly knownRevision: number
}

interface Returned<Blocks> {
  /** Slots of nodes that are gone, with all that they had. */
  readonly gone: ReadonlySet<number>
  readonly blocks: Blocks
}

function returnedBlocks(
  { egressNodes, gone, orphaned }: LeaseSituation,
  known: ReadonlyMap<Address, AddressLeases>,
): Returned<ReadonlyMap<Address, readonly ReturnedBlock[]>> {
  const returned = { gone: new Set(orphaned), blocks: new Map<Address, readonly ReturnedBlock[]>() }
  const slots = slotsByNode(egressNodes)
  for (const egressNode of egressNodes) {
    const slot = slots.get(egressNode.metadata.name)
    if (slot === undefined) continue
    if (gone.has(egressNode.metadata.name)) {
      returned.gone.add(slot)
      continue
    }
    for (const [address, blocks] of releasedBlocks(egressNode, known)) {
      const each = [...blocks].map(([block, knownRevision]) => ({ slot, block, knownRevision }))
      returned.blocks.set(address, [...(returned.blocks.get(address) ?? []), ...each])
    }
  }
  return returned
}

/**
 * A block that its node gives back is marked first. It is free when the node gives it back knowing of the mark: an agent
 * that was started anew meanwhile, and knew nothing of what its predecessor gave back, knows by then.
 */
function takeBack(table: LeaseTable, { gone, blocks }: AddressSituation['returned'], revision: number): void {
  if (gone.size > 0)
    for (const [block, entry] of table.entries()) if (entry && gone.has(entry.slot)) table[block] = undefined
  for (const { slot, block, knownRevision } of blocks) {
    const entry = table[block]
    if (entry?.slot !== slot) continue
    if (!entry.isEnding) table[block] = { slot, isEnding: true }
    else if (knownRevision >= revision) table[block] = undefined
  }
}

/** Who has least comes first. Returns what is left. */
function grant(table: LeaseTable, free: readonly number[], demands: readonly Demand[]): readonly number[] {
  let left = free
  const heldNow = heldBySlot(table)
  const missing = demands
    .map(({ slot, blocks }) => ({ slot, blocks, held: heldNow.get(slot) ?? 0 }))
    .filter(({ blocks, held }) => blocks > held)
    .sort((a, b) => a.held - b.held || a.slot - b.slot)
  for (const { slot, blocks, held } of missing) {
    for (const block of left.slice(0, blocks - held)) table[block] = { slot, isEnding: false }
    left = left.slice(blocks - held)
  }
  return left
}

/** How many blocks each slot has to use. */
function heldBySlot(table: Readonly<LeaseTable>): ReadonlyMap<number, number> {
  const held = new Map<number, number>()
  for (const entry of table)
    if (entry !== undefined && !entry.isEnding) held.set(entry.slot, (held.get(entry.slot) ?? 0) + 1)
  return held
}
