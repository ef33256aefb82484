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
 * When a node may use a leased block. It uses the block once every gateway that may answer for the address has confirmed that
 * its tables contain the lease, and until it releases the block. A gateway that was unreachable relists before it answers
 * probes, so it knows the lease too.
 */

interface Candidate {
  readonly address: Address
  /** The tunnel addresses of the gateways that may answer for it. */
  readonly order: readonly Address[]
  /** The blocks that this node owns, by floor or by lease. */
  readonly owned: readonly number[]
  readonly granted: AddressLeases
  readonly slot: number
}

/** The blocks of `owned` that the node may take ports from now. */
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

/** The latest revision that every gateway has confirmed, of those in the order that this node waits for. */
function confirmedByAll(awaited: Awaited, { address, order, granted }: Candidate): number {
  const revisions = order
    .filter((gateway) => awaited.has(gateway))
    .map((gateway) => confirmedRevision(awaited.get(gateway), address, granted))
  return Math.min(...revisions, Number.MAX_SAFE_INTEGER)
}

/** The nodes that this node waits for, by tunnel address, with what they report. */
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

/** Zero if the node has confirmed nothing for the address, or only for an earlier object of the same address. */
function confirmedRevision(
  egressNode: EgressNode | undefined,
  address: Address,
  granted: Pick<AddressLeases, 'uid'>,
): number {
  const said = egressNode && confirmationsOf(egressNode).get(address)
  return said !== undefined && isAbout(said, granted) ? said.revision : 0
}

/** The names of the gateways whose missing confirmation keeps this node from using its leased ports, by address. */
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
    if (newest === 0) continue /* the usual case: all leases are in use */
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
 * The names of healthy gateways that have confirmed earlier leases of an address but not the latest ones, by address. Nodes
 * with new leases wait for them.
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

/** Agents of the previous version report no uid. */
function isAbout({ uid }: Said, granted: Pick<AddressLeases, 'uid'> | undefined): boolean {
  return uid === undefined || uid === granted?.uid
}

const confirmationsOf = oncePerObject(
  ({ status }: EgressNode): ReadonlyMap<Address | undefined, Said> =>
    new Map(status?.confirmed?.map(({ address, ...said }) => [parseAddress(address), said])),
)

/** The blocks that a node has released, by address, with the revision that it knew when it released each. */
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

/** Forgets leases that have ended, and remembers the revision in which each new one appeared. */
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

/** The blocks that a slot leases, without those that are ending. */
export function heldBlocks(leases: AddressLeases['leases'], slot: number | undefined): readonly number[] {
  return blocksBySlot(leases).get(slot)?.held ?? []
}

/** The blocks that a slot leases, including those that are ending. */
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
 * Notes the pools that were written to the kernel. Their blocks are in use and need no further confirmation. A block that left
 * its pool needs confirmations again, because other gateways may answer for the address by now.
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

/** What this node can confirm after its tables were written: the revision of every address that it may answer for. */
export function confirmations(world: World, tables: Tables): Confirmation[] {
  const { tunnelAddress } = tables.self
  return [...leasesByAddress(world.egressAddresses)]
    .filter(([address]) => tables.egressIps.get(address)?.order.includes(tunnelAddress))
    .map(([address, granted]) => ({ address, ...revisionOf(granted) }))
    .sort((a, b) => (a.address < b.address ? -1 : 1))
}

/** The fields of a status that name a revision. */
export function revisionOf({ revision, uid }: Omit<AddressLeases, 'leases'>): {
  revision: number
  uid?: string
} {
  return { revision, ...(uid === undefined ? {} : { uid }) }
}
