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

/** Every egress IP of every policy, whoever uses it: any node may be asked to answer for one. And this node's own. */
export function resolveEgressIps(context: Context): ReadonlyMap<Address, EgressIp> {
  const ownersOf = portOwnersIn(context)
  const own = masqueradeAddresses(context).map(
    (address) => [address, [tunnelAddressOf(context.self)]] as const,
  )
  const orders = new Map([...own, ...ordersByAddress(context)])
  return new Map([...orders].map(([address, order]) => [address, egressIpsOf(ownersOf(address))(order)]))
}

/** More than the gateways of a cluster can be put into; orders come and go with them. */
const maxOrders = 4096

/** The same object where it is the same as before: what it comes to in the kernel is large, and known then. */
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

/** The node's addresses that its pods leave with where no policy selects them: the first of each family. */
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

/** What the orders follow from: the same for every node. */
type Gateways = Pick<Context, 'nodes' | 'policies' | 'exits' | 'interfaces'>

/** Most answers that the datapath keeps for an address: MAX_HOLDERS of bpf/types.h. */
export const maxHolders = 8

/**
 * Who answers for each egress IP, by tunnel address: the nodes that have the address, by name; then those that a policy
 * would have it on; then the policy's other gateways on the same link. A node's own address is its own alone.
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

/** A node's own address never moves: whoever took it would answer for the node's kubelet, and could not reach the node. */
function nodesByAddress({ nodes }: Gateways): ReadonlyMap<Address, WorldNode> {
  return new Map(nodes.flatMap((node) => node.internalIPs.map((address) => [address, node] as const)))
}

/** Of policies with the same gateways one: it says all that the others would. */
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

/** A node that may answer for an address; the lowest rank is first. */
interface Candidate {
  readonly node: WorldNode
  readonly rank: string
  /** Its interface carries no traffic: a successor answers in its place, or nobody. */
  readonly isOut: boolean
}

function* candidatesOf(policy: Policy, context: Gateways): Generator<readonly [Address, Candidate]> {
  const gateways = (context.exits.get(policy.id) ?? []).flat()
  for (const { node, egressIps, isHolding, outage } of gateways)
    for (const address of [egressIps[4], egressIps[6]])
      if (address !== undefined) {
        const rank = isHolding ? `0 ${node.name}` : `1 ${successorRank(policy, address, node)}`
        yield [address, { node, rank, isOut: outage !== undefined }]
        for (const other of gateways)
          if (other.node !== node && isOnLinkOf(context, other.node, address)) {
            const rank = `2 ${successorRank(policy, address, other.node)}`
            yield [address, { node: other.node, rank, isOut: false }]
          }
      }
}

/**
 * By name where a policy has one gateway: the next match. Else in an order that differs from address to address, so that
 * the death of one gateway spreads its addresses over the others.
 */
function successorRank({ spread }: Policy, address: Address, { name }: WorldNode): string {
  if (spread === 'one') return name
  return contentId('successor', address, name).toString(16).padStart(16, '0')
}

function isOnLinkOf({ interfaces }: Gateways, node: WorldNode, address: Address): boolean {
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

/** The blocks that this node may take ports from. Without a slot it can masquerade, and no more. */
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

/** Again the same object where it is the same as before. */
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
