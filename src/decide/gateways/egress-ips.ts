import type { PortLease } from '../../api/egress-address.ts'
import type { Address } from '../../net/address.ts'
import { blocksOfRange, regions, usableBlocks } from '../../net/ports.ts'
import { contains, parsePrefix } from '../../net/prefix.ts'
import type { Context } from '../context.ts'
import { contentId } from '../ids.ts'
import { oncePerObject } from '../once-per-object.ts'
import type { Policy } from '../policies/policies.ts'
import { leasesByAddress } from '../ports/lease-table.ts'
import { awaitedNodes, usableLeases } from '../ports/lease-use.ts'
import { type AddressOwner, type BlockOwners, blockOwners, type PortLayout } from '../ports/port-owners.ts'
import type { EgressIp, Pool } from '../tables.ts'
import type { Settings, WorldNode } from '../world.ts'
import { firstOfEachFamily } from './dedicated-addresses.ts'
import { type Gateway, tunnelAddressOf } from './gateways.ts'

/** Every egress IP of every policy, because any node may become its gateway, and this node's masquerade addresses. */
export function resolveEgressIps(context: Context): ReadonlyMap<Address, EgressIp> {
  const ownersOf = portOwnersIn(context)
  const own = masqueradeAddresses(context).map(
    (address) => [address, [tunnelAddressOf(context.self)]] as const,
  )
  const orders = new Map([...own, ...ordersByAddress(context)])
  return new Map([...orders].map(([address, order]) => [address, egressIpsOf(ownersOf(address))(order)]))
}

/** Bounds the cache below. A cluster has far fewer orders at one time, but they change whenever gateways do. */
const maxOrders = 4096

/** Returns the same object for equal contents, because its large entry in the kernel is then not compared again. */
const egressIpsOf = oncePerObject((blockOwner: BlockOwners) => {
  const known = new Map<string, EgressIp>()
  return (order: readonly Address[]): EgressIp => {
    const key = order.join(' ')
    const egressIp = known.get(key) ?? { order, blockOwner }
    if (known.size > maxOrders) known.clear()
    known.set(key, egressIp)
    return egressIp
  }
})

/** The addresses for traffic that no policy selects: the node's first of each family. */
export function masqueradeAddresses({ self, world }: Context): readonly Address[] {
  if (world.settings.isChained) return [] /* the stack has them */
  return firstOfEachFamily(self.internalIPs)
}

/** Most addresses have no leases: these share one table. */
function portOwnersIn(context: Context): (address: Address) => BlockOwners {
  const { world, self } = context
  const layout = layoutOf(context)
  const leases = leasesByAddress(world.egressAddresses)
  const nodeAddresses = new Set(world.nodes.flatMap(({ internalIPs }) => internalIPs))
  const ownAddresses = new Set(world.settings.isChained ? [] : self.internalIPs)
  return (address) => {
    const owner = ownAddresses.has(address)
      ? 'thisNode'
      : nodeAddresses.has(address)
        ? 'anotherNode'
        : 'nobody'
    return ownersByLeases(leases.get(address)?.leases ?? noLeases)(owner, layout)
  }
}

interface KnownLayout extends PortLayout {
  /** Equal layouts have equal keys. */
  readonly key: string
}

/** Which slots are taken matters only if some of their floors are not usable. */
function layoutOf({ world: { settings }, slots: slotsByNode }: Context): KnownLayout {
  const usable = usableIn(settings)
  const isWhole = blocksOfRange(regions.floor).every((block) => usable.has(block))
  const taken = new Set(isWhole ? [] : slotsByNode.values())
  const key = JSON.stringify([settings.slots, settings.ports, [...taken].sort()])
  return { slots: settings.slots, taken, usable, key }
}

const usableIn = oncePerObject(({ ports }: Settings) => usableBlocks(ports))

const noLeases: readonly PortLease[] = []

const ownersByLeases = oncePerObject((leases: readonly PortLease[]) => {
  const known = new Map<string, BlockOwners>()
  return (owner: AddressOwner, layout: KnownLayout): BlockOwners => {
    const key = `${owner} ${layout.key}`
    const owners = known.get(key) ?? blockOwners(owner, layout, leases)
    known.set(key, owners)
    return owners
  }
})

/** The input of `ordersByAddress`. It is the same on every node, so all nodes compute the same orders. */
type Gateways = Pick<Context, 'nodes' | 'policies' | 'exits' | 'interfaces'>

/** How many gateways the datapath stores for an address: MAX_HOLDERS of bpf/types.h. */
export const maxHolders = 8

/**
 * The gateways that may answer for each egress IP, by tunnel address. First come the nodes that have the address, by name.
 * Then come the nodes that should have it by a policy, and last the policy's other gateways on the same link. For a node's
 * own address only that node answers.
 */
export function ordersByAddress(context: Gateways): ReadonlyMap<Address, readonly Address[]> {
  const candidates = new Map<Address, Map<string, Candidate>>()
  const homes = nodesByAddress(context)
  for (const policy of distinctPolicies(context))
    for (const [address, candidate] of candidatesOf(policy, context)) {
      if (candidate.isOut) {
        if (!candidates.has(address)) candidates.set(address, new Map())
        continue
      }
      if ((homes.get(address) ?? candidate.node) !== candidate.node) continue
      const known = candidates.get(address) ?? new Map<string, Candidate>()
      candidates.set(address, known)
      const before = known.get(candidate.node.name)
      if (before === undefined || candidate.rank < before.rank) known.set(candidate.node.name, candidate)
    }
  return new Map([...candidates].map(([address, known]) => [address, orderOf([...known.values()])]))
}

/** A node's own address never moves. A successor would answer for the node's kubelet, and could not reach the node. */
function nodesByAddress({ nodes }: Gateways): ReadonlyMap<Address, WorldNode> {
  return new Map(nodes.flatMap((node) => node.internalIPs.map((address) => [address, node] as const)))
}

/** One policy of all that have the same gateways, because the others would add nothing. */
function distinctPolicies({ policies, exits }: Gateways): readonly Policy[] {
  const numbers = new Map<readonly Gateway[], number>()
  const numberOf = (gateways: readonly Gateway[]): number => {
    const number = numbers.get(gateways) ?? numbers.size
    numbers.set(gateways, number)
    return number
  }
  const seen = new Map<string, Policy>()
  for (const policy of policies) {
    const key = [policy.spread, ...(exits.get(policy.id) ?? []).map(numberOf)].join(' ')
    if (!seen.has(key)) seen.set(key, policy)
  }
  return [...seen.values()]
}

/** A node that may answer for an address. Orders are sorted by rank, the lowest first. */
interface Candidate {
  readonly node: WorldNode
  readonly rank: string
  /** Its interface carries no traffic, so it is left out of the order and a successor answers, if there is one. */
  readonly isOut: boolean
}

function* candidatesOf(policy: Policy, context: Gateways): Generator<readonly [Address, Candidate]> {
  const gateways = (context.exits.get(policy.id) ?? []).flat()
  for (const { node, egressIps, isHolding, outage } of gateways)
    for (const address of [egressIps[4], egressIps[6]])
      if (address !== undefined) {
        const rank = isHolding ? `0 ${node.name}` : `1 ${successorRank(policy, address, node)}`
        if (isHolding || canAnswer(context, gateways, node, address))
          yield [address, { node, rank, isOut: outage !== undefined }]
        for (const other of gateways)
          if (other.node !== node && isOnLinkOf(context, other.node, address)) {
            const rank = `2 ${successorRank(policy, address, other.node)}`
            yield [address, { node: other.node, rank, isOut: false }]
          }
      }
}

/** Where the address belongs to a link of gateways, only nodes on that link can. Otherwise the network must route it to a gateway. */
function canAnswer(
  context: Gateways,
  gateways: readonly Gateway[],
  node: WorldNode,
  address: Address,
): boolean {
  return (
    isOnLinkOf(context, node, address) || !gateways.some((each) => isOnLinkOf(context, each.node, address))
  )
}

/**
 * Under a policy with one gateway, successors follow by name, so the next match takes over. Under other policies the order
 * differs from address to address, so that the addresses of a dead gateway are spread over the others.
 */
function successorRank({ spread }: Policy, address: Address, { name }: WorldNode): string {
  if (spread === 'one') return name
  return contentId('successor', address, name).toString(16).padStart(16, '0')
}

export function isOnLinkOf(
  { interfaces }: Pick<Gateways, 'interfaces'>,
  node: WorldNode,
  address: Address,
): boolean {
  return (interfaces.get(node.name) ?? []).some(
    ({ problem, subnets = [] }) =>
      problem === undefined &&
      subnets.some((text) => {
        const subnet = parsePrefix(text)
        return subnet !== undefined && contains(subnet, address)
      }),
  )
}

function orderOf(candidates: readonly Candidate[]): readonly Address[] {
  return candidates
    .toSorted((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, maxHolders)
    .map(({ node }) => tunnelAddressOf(node))
}

/** The blocks from which this node may take ports. A node without a slot has no ports of egress IPs, and only masquerades. */
export function resolvePools(context: Context, egressIps: ReadonlyMap<Address, EgressIp>): readonly Pool[] {
  const slot = context.slots.get(context.self.name)
  const pools: Pool[] = masqueradeAddresses(context).map((address) => ({
    address,
    purpose: 'masquerade',
    blocks: blocksOfRange(regions.masquerade),
  }))
  if (slot === undefined) return pools
  const leases = leasesByAddress(context.world.egressAddresses)
  const awaited = awaitedNodes(context)
  const usable = usableIn(context.world.settings)
  for (const [address, { blockOwner, order }] of egressIps) {
    const owned = (blocksBySlot(blockOwner).get(slot) ?? []).filter((block) => usable.has(block))
    const granted = leases.get(address)
    const blocks =
      granted === undefined
        ? owned
        : usableLeases(context.world, awaited, { address, order, owned, granted, slot })
    if (blocks.length > 0) pools.push({ address, purpose: 'egress', blocks: sameBlocks(blockOwner)(blocks) })
  }
  return pools
}

/** Returns the previous object if the blocks are the same, as above. */
const sameBlocks = oncePerObject((_: BlockOwners) => {
  let last: readonly number[] = []
  return (blocks: readonly number[]): readonly number[] => {
    const isSame = blocks.length === last.length && blocks.every((block, index) => block === last[index])
    if (!isSame) last = blocks
    return last
  }
})

const blocksBySlot = oncePerObject((blockOwner: BlockOwners): ReadonlyMap<number, readonly number[]> => {
  const blocks = new Map<number, number[]>()
  for (const [block, owner] of blockOwner.entries())
    if (typeof owner === 'number') {
      const of = blocks.get(owner)
      if (of === undefined) blocks.set(owner, [block])
      else of.push(block)
    }
  return blocks
})
