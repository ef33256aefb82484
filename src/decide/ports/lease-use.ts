import type { EgressNode } from '../../api/egress-node.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import type { Context } from '../context.ts'
import { nodesWithAddress, tunnelAddressOf } from '../gateways/gateways.ts'
import { unhealthyNodes } from '../gateways/health.ts'
import { oncePerObject } from '../once-per-object.ts'
import type { Pool, Tables } from '../tables.ts'
import type { OwnLeases, World } from '../world.ts'
import { type AddressLeases, blocksOfRanges, leasesByAddress, leaseTableOf } from './lease-table.ts'

/*
 * When a leased block may be used. Its node takes it when every gateway that may answer for the address has confirmed
 * that its tables hold the lease, and keeps it until it gives it back. A gateway that comes back later learns of the
 * lease before it answers probes.
 */

interface Candidate {
  readonly address: Address
  /** Who may answer for it, by tunnel address. */
  readonly order: readonly Address[]
  /** The blocks that are this node's, leased or not. */
  readonly owned: readonly number[]
  readonly granted: AddressLeases
  readonly slot: number
}

/** Of the blocks that a node owns, those that it may take ports from. */
export function usableLeases(world: World, awaited: Awaited, candidate: Candidate): readonly number[] {
  const { address, owned, granted, slot } = candidate
  const { since, leaving } = world.ownLeases ?? { since: new Map(), leaving: new Map() }
  const table = leaseTableOf(granted.leases)
  const released = releasedBlocks(egressNodeOf(world), new Map([[address, granted]])).get(address)
  const confirmed = confirmedByAll(awaited, candidate)
  return owned.filter((block) => {
    const entry = table[block]
    if (entry?.slot !== slot) return true /* the floor */
    if (entry.isEnding || released?.has(block) || leaving.get(address)?.has(block)) return false
    return (since.get(address)?.get(block) ?? granted.revision) <= confirmed
  })
}

/** The latest revision that all of an order have confirmed for whom this node has to wait. */
function confirmedByAll(awaited: Awaited, { address, order, granted }: Candidate): number {
  const revisions = order
    .filter((gateway) => awaited.has(gateway))
    .map((gateway) => confirmedRevision(awaited.get(gateway), address, granted))
  return Math.min(...revisions, Number.MAX_SAFE_INTEGER)
}

/** By tunnel address: what those nodes say that this node waits for. */
type Awaited = ReadonlyMap<Address, EgressNode | undefined>

/**
 * This node is left out because it writes its gateway table before its pools. Unreachable gateways are left out because they
 * learn of the lease before they answer probes again. This node's own probes are the first to know who is reachable.
 */
export function awaitedNodes({ world, nodes }: Pick<Context, 'world' | 'nodes'>): Awaited {
  const unhealthy = unhealthyNodes(world)
  const said = new Map(world.egressNodes.map((each) => [each.metadata.name, each]))
  return new Map(
    nodes
      .filter(({ name }) => name !== world.self && !world.unreachableNodes?.has(name))
      .filter(({ name }) => world.reachableNodes?.has(name) || !unhealthy.has(name))
      .map((node) => [tunnelAddressOf(node), said.get(node.name)]),
  )
}

/** Zero where a node has said nothing of an address, or of another object for it: it knows of no lease. */
function confirmedRevision(
  egressNode: EgressNode | undefined,
  address: Address,
  granted: Pick<AddressLeases, 'uid'>,
): number {
  const said = egressNode && confirmationsOf(egressNode).get(address)
  return said !== undefined && isAbout(said, granted) ? said.revision : 0
}

/** Who keeps this node from ports that it has by lease: by address, the gateways that have not confirmed them, by name. */
export function unconfirmedBy(
  world: World,
  { egressIps, self: { slot } }: Pick<Tables, 'egressIps' | 'self'>,
): ReadonlyMap<Address, readonly string[]> {
  const nodes = nodesWithAddress(world.nodes)
  const awaited = awaitedNodes({ world, nodes })
  const { since, leaving } = world.ownLeases ?? { since: new Map(), leaving: new Map() }
  const found = new Map<Address, readonly string[]>()
  for (const [address, granted] of leasesByAddress(world.egressAddresses)) {
    const newest = heldBlocks(granted.leases, slot)
      .filter((block) => !leaving.get(address)?.has(block))
      .reduce((most, block) => Math.max(most, since.get(address)?.get(block) ?? granted.revision), 0)
    if (newest === 0) continue /* all is in use: nearly always */
    const order = egressIps.get(address)?.order ?? []
    const behind = nodes.filter((node) => {
      const gateway = tunnelAddressOf(node)
      const isAwaited = order.includes(gateway) && awaited.has(gateway)
      return isAwaited && confirmedRevision(awaited.get(gateway), address, granted) < newest
    })
    if (behind.length > 0)
      found.set(
        address,
        behind.map(({ name }) => name),
      )
  }
  return found
}

/**
 * Gateways that have not confirmed what was leased last, though they are well and have confirmed something before: by
 * address, their names. Whoever wants ports waits for them.
 */
export function gatewaysBehind(
  world: Pick<World, 'nodes' | 'egressNodes' | 'egressAddresses'>,
): ReadonlyMap<Address, readonly string[]> {
  const known = leasesByAddress(world.egressAddresses)
  const unhealthy = unhealthyNodes(world)
  const found = new Map<Address, string[]>()
  for (const egressNode of world.egressNodes) {
    const { name } = egressNode.metadata
    if (unhealthy.has(name)) continue
    for (const [address] of confirmationsOf(egressNode)) {
      const granted = address && known.get(address)
      if (granted && confirmedRevision(egressNode, address, granted) < granted.revision)
        found.set(address, [...(found.get(address) ?? []), name].sort())
    }
  }
  return found
}

interface Said {
  readonly revision: number
  readonly uid?: string | undefined
}

/** An agent of the version before does not say which object it means. */
function isAbout({ uid }: Said, granted: Pick<AddressLeases, 'uid'> | undefined): boolean {
  return uid === undefined || uid === granted?.uid
}

const confirmationsOf = oncePerObject(
  ({ status }: EgressNode): ReadonlyMap<Address | undefined, Said> =>
    new Map(status?.confirmed?.map(({ address, ...said }) => [parseAddress(address), said])),
)

/** What a node says that it gives back of leases: by address and block, the revision by which it does without it. */
export function releasedBlocks(
  egressNode: EgressNode | undefined,
  known: ReadonlyMap<Address, Pick<AddressLeases, 'uid'>>,
): ReadonlyMap<Address, ReadonlyMap<number, number>> {
  const found = new Map<Address, Map<number, number>>()
  for (const { revision, uid, ...range } of egressNode?.status?.released ?? []) {
    const address = parseAddress(range.address)
    if (address === undefined || !isAbout({ revision, uid }, known.get(address))) continue
    const blocks = found.get(address) ?? new Map<number, number>()
    for (const block of blocksOfRanges([range])) blocks.set(block, revision)
    found.set(address, blocks)
  }
  return found
}

export function egressNodeOf({
  egressNodes,
  self,
}: Pick<World, 'egressNodes' | 'self'>): EgressNode | undefined {
  return egressNodes.find(({ metadata }) => metadata.name === self)
}

/** Forgets leases that are gone, and notes since when there are new ones. */
export function trackLeases(
  since: OwnLeases['since'],
  world: Pick<World, 'egressAddresses'>,
  slot: number | undefined,
): OwnLeases['since'] {
  return new Map(
    [...leasesByAddress(world.egressAddresses)].map(([address, { leases, revision }]) => {
      const known = since.get(address)
      const blocks = heldBlocks(leases, slot).map((block) => [block, known?.get(block) ?? revision] as const)
      return [address, new Map(blocks)]
    }),
  )
}

/** Blocks that a slot has by lease, without those that are ending. */
export function heldBlocks(leases: AddressLeases['leases'], slot: number | undefined): readonly number[] {
  return blocksBySlot(leases).get(slot)?.held ?? []
}

/** With those that are ending. */
export function leasedBlocks(leases: AddressLeases['leases'], slot: number | undefined): readonly number[] {
  return blocksBySlot(leases).get(slot)?.all ?? []
}

const blocksBySlot = oncePerObject((leases: AddressLeases['leases']) => {
  const found = new Map<number | undefined, { readonly held: number[]; readonly all: number[] }>()
  for (const [block, entry] of leaseTableOf(leases).entries()) {
    if (entry === undefined) continue
    const blocks = found.get(entry.slot) ?? { held: [], all: [] }
    found.set(entry.slot, blocks)
    blocks.all.push(block)
    if (!entry.isEnding) blocks.held.push(block)
  }
  return found
})

/**
 * The pools are in the kernel: their blocks are in use and need nobody's confirmation any more. Those that are out of use
 * need it anew: meanwhile others may have come to answer for the address.
 */
export function markInUse(
  since: OwnLeases['since'],
  world: Pick<World, 'egressAddresses'>,
  pools: readonly Pool[],
): OwnLeases['since'] {
  const used = new Map(
    pools.flatMap((pool) => (pool.purpose === 'egress' ? [[pool.address, pool.blocks]] : [])),
  )
  const known = leasesByAddress(world.egressAddresses)
  return new Map(
    [...since].map(([address, blocks]) => {
      const inUse = new Set(used.get(address))
      const revision = known.get(address)?.revision ?? 0
      const marks = [...blocks].map(
        ([block, at]) => [block, inUse.has(block) ? 0 : at === 0 ? revision : at] as const,
      )
      return [address, new Map(marks)]
    }),
  )
}

type Confirmation = { address: string; revision: number; uid?: string }

/** What a gateway can say for certain once its tables are written, of every address that it may answer for. */
export function confirmations(world: World, tables: Tables): Confirmation[] {
  const { tunnelAddress } = tables.self
  return [...leasesByAddress(world.egressAddresses)]
    .filter(([address]) => tables.egressIps.get(address)?.order.includes(tunnelAddress))
    .map(([address, granted]) => ({ address, ...revisionOf(granted) }))
    .sort((a, b) => (a.address < b.address ? -1 : 1))
}

/** As it stands in a status. */
export function revisionOf({ revision, uid }: Omit<AddressLeases, 'leases'>): {
  revision: number
  uid?: string
} {
  return { revision, ...(uid === undefined ? {} : { uid }) }
}
