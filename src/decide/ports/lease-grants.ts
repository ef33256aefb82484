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
import { type LingeringSummary, staysReleased } from './lingering.ts'
import { slotsByNode } from './slots.ts'

/** Everything from which the operator decides about leases. */
export interface LeaseSituation {
  readonly egressNodes: readonly EgressNode[]
  readonly egressAddresses: readonly EgressAddress[]
  /** Names of the nodes that exist. Only they get leases. */
  readonly present: ReadonlySet<string>
  /** Names of the nodes that have been deleted for so long that their ports are free. */
  readonly gone: ReadonlySet<string>
  /** Slots with leases that have belonged to no node for the same time. */
  readonly orphaned: ReadonlySet<number>
  /** Nodes' own addresses, whose ports the nodes' sockets use too. */
  readonly nodeAddresses: ReadonlySet<Address>
  readonly given: Given
  /** Blocks that new flows may have. */
  readonly usable: ReadonlySet<number>
  /** Addresses that nodes keep although no policy uses them. Each gets an object, which shows that. */
  readonly lingering: ReadonlyMap<Address, LingeringSummary>
}

/** The leases of one address, as they should be. */
export interface AddressPlan {
  readonly address: Address
  /** The object, if there is one. */
  readonly object: EgressAddress | undefined
  readonly leases: readonly PortLease[]
  readonly isChanged: boolean
  readonly isReleased: boolean
  readonly lingering: LingeringSummary | undefined
  /** How many blocks can be leased at all, and how many of them are free. */
  readonly leasable: number
  readonly left: number
  /** Some node demands more than it can get. */
  readonly isShort: boolean
  /** What nodes with more than their share are to return then. */
  readonly returns: readonly Return[]
}

/**
 * Which node leases which ports of which address. A block changes its owner only because of facts that cannot become untrue:
 * its node released it, and then confirmed that it saw the block marked as ending. An object is written only if it has not
 * changed since it was read. So an operator with old data cannot give a block to two nodes.
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
  const { lingering } = situation
  return [...new Set([...known.keys(), ...demands.keys(), ...lingering.keys()])].sort().map((address) => {
    const object = objects.get(egressAddressName(address))
    const isReleased = staysReleased(object, lingering)
    const plan = planAddress({
      object,
      leasable: nodeAddresses.has(address) ? ofNodeAddress : ofEgressIp,
      elsewhere: elsewhere.get(address),
      wanted: demands.get(address) ?? [],
      returned: { gone: returned.gone, blocks: returned.blocks.get(address) ?? [] },
    })
    const isNew = object === undefined && lingering.has(address)
    const isChanged = plan.isChanged || isNew || isReleased !== (object?.spec.isReleased ?? false)
    return { ...plan, address, isChanged, isReleased, lingering: lingering.get(address) }
  })
}

interface Leasable {
  /** The block that is granted next comes first. */
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

/** For most addresses nothing has changed. They take the short path, which builds no table. */
function planAddress(situation: AddressSituation): Omit<AddressPlan, 'address' | 'isReleased' | 'lingering'> {
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

/** Leases in objects whose name is not that of their address. A user may have created them. Their blocks are not free. */
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
  /** The revision of the leases that the node knew when it released the block. */
  readonly knownRevision: number
}

interface Returned<Blocks> {
  /** Slots of deleted nodes, whose leases all end. */
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
 * A released block is first marked as ending. It is free when the node releases it again in a revision that has the mark. An
 * agent that restarted in between does not know what it released before, but it sees the mark.
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

/** Nodes with the fewest blocks come first. Returns the blocks that are still free. */
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

/** The number of blocks that each slot leases, without those that are ending. */
function heldBySlot(table: Readonly<LeaseTable>): ReadonlyMap<number, number> {
  const held = new Map<number, number>()
  for (const entry of table)
    if (entry !== undefined && !entry.isEnding) held.set(entry.slot, (held.get(entry.slot) ?? 0) + 1)
  return held
}
