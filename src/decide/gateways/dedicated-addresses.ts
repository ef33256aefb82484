import type { NodeInterface } from '../../api/egress-node.ts'
import { type Address, familyOf, parseAddress } from '../../net/address.ts'
import type { Policy } from '../policies/policies.ts'
import type { World } from '../world.ts'

/**
 * In chained mode the stack gives a node's own address to every pod that no policy selects, with any port: a packet that
 * comes back to it does not say whose it is. A gateway that can keep the stack's ports and those of flows apart shares its
 * address. Of another gateway, an egress IP is an address that nothing else uses. These are what is left of the policies and
 * interfaces of a world.
 */
type Given = Pick<World, 'nodes' | 'egressNodes' | 'settings'>

/** By name: the first InternalIP of each family of every node that shares it with its stack. Stand-alone there are none. */
export function sharedAddresses({
  nodes,
  egressNodes,
  settings,
}: Given): ReadonlyMap<string, readonly Address[]> {
  const sharing = new Set(
    settings.isChained
      ? egressNodes.filter(({ status }) => status?.sharesAddress).map(({ metadata: { name } }) => name)
      : [],
  )
  return new Map(
    nodes
      .filter(({ name }) => sharing.has(name))
      .map(({ name, internalIPs }) => [name, firstOfEachFamily(internalIPs)]),
  )
}

export function firstOfEachFamily(addresses: readonly Address[]): readonly Address[] {
  return ([4, 6] as const).flatMap(
    (family) => addresses.find((address) => familyOf(address) === family) ?? [],
  )
}

/** By address: the node that has it, if policies cannot use it. */
function stackAddresses(world: Given): ReadonlyMap<Address, string> {
  const shared = sharedAddresses(world)
  return new Map(
    world.nodes.flatMap(({ name, internalIPs }) =>
      internalIPs
        .filter((address) => !shared.get(name)?.includes(address))
        .map((address) => [address, name] as const),
    ),
  )
}

/** What a node needs to share its own address. */
export const sharingNeeds =
  'egressGateway.gatewayForwarding=fast, kernel 6.1 or later, and the kernel modules nf_conntrack and nf_nat, loaded before the agent starts'

/** A given egress IP that is the stack's alone is a user's mistake; what such a policy selects is dropped. */
export function withDedicatedAddresses(policies: readonly Policy[], world: Given): readonly Policy[] {
  if (!world.settings.isChained) return policies
  const ownerOf = stackAddresses(world)
  return policies.map((policy) => {
    const problems = policy.exits.flatMap(({ address: choice }) => {
      const owner = choice.by === 'address' ? ownerOf.get(choice.address) : undefined
      if (choice.by !== 'address' || owner === undefined) return []
      return [
        `egressIP ${choice.address} is node ${owner}'s own address, which the other CNI plugin uses in chained mode. Either add another address to the node and set egressIP to it. Or let the node share its own address, which needs ${sharingNeeds}`,
      ]
    })
    return problems.length === 0 ? policy : { ...policy, problems: [...policy.problems, ...problems] }
  })
}

/**
 * The interfaces of each node that has reported them, with the addresses that policies can use; the first one counts. In chained
 * mode, addresses that only flows use come before the node's own, so a gateway that begins to share its own address does not
 * change the egress IP of a policy.
 */
export function interfacesByNode(world: Given): ReadonlyMap<string, readonly NodeInterface[]> {
  const ownerOf = world.settings.isChained ? stackAddresses(world) : undefined
  const own = new Map(world.nodes.map(({ name, internalIPs }) => [name, internalIPs]))
  return new Map(
    world.egressNodes.flatMap(({ metadata: { name }, status }) => {
      const interfaces = status?.interfaces
      if (interfaces === undefined) return []
      if (ownerOf === undefined) return [[name, interfaces] as const]
      const isUsable = (text: string): boolean => {
        const address = parseAddress(text)
        return address === undefined || ownerOf.get(address) !== name
      }
      const isOwn = (text: string): boolean =>
        own.get(name)?.some((each) => each === parseAddress(text)) ?? false
      const sorted = (texts: readonly string[]): string[] =>
        texts.filter(isUsable).sort((a, b) => Number(isOwn(a)) - Number(isOwn(b)))
      return [[name, interfaces.map((each) => ({ ...each, addresses: sorted(each.addresses) }))] as const]
    }),
  )
}
