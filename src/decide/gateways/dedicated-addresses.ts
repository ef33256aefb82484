import type { NodeInterface } from '../../api/egress-node.ts'
import { parseAddress } from '../../net/address.ts'
import type { Policy } from '../policies/policies.ts'
import type { World } from '../world.ts'

/**
 * In chained mode the stack gives a node's own address to every pod that no policy selects, with any port: a packet that
 * comes back to it does not say whose it is. An egress IP is then an address that nothing else uses, and these are what is
 * left of the policies and interfaces of a world.
 */
type Given = Pick<World, 'nodes' | 'egressNodes' | 'settings'>

/** A given egress IP that is a node's own is a user's mistake; what such a policy selects is dropped. */
export function withDedicatedAddresses(policies: readonly Policy[], world: Given): readonly Policy[] {
  if (!world.settings.isChained) return policies
  const ownerOf = new Map(
    world.nodes.flatMap(({ name, internalIPs }) => internalIPs.map((address) => [address, name] as const)),
  )
  return policies.map((policy) => {
    const problems = policy.exits.flatMap(({ address: choice }) => {
      const owner = choice.by === 'address' ? ownerOf.get(choice.address) : undefined
      if (choice.by !== 'address' || owner === undefined) return []
      return [
        `egressIP ${choice.address} is node ${owner}'s own address, which the other CNI plugin uses in chained mode. Add another address to the node and set egressIP to it`,
      ]
    })
    return problems.length === 0 ? policy : { ...policy, problems: [...policy.problems, ...problems] }
  })
}

/** An interface's first address counts; in chained mode the first that is not the node's own. */
export function interfacesByNode(world: Given): ReadonlyMap<string, readonly NodeInterface[]> {
  const own = new Map(world.nodes.map(({ name, internalIPs }) => [name, new Set(internalIPs)]))
  return new Map(
    world.egressNodes.map(({ metadata: { name }, status }) => {
      const interfaces = status?.interfaces ?? []
      if (!world.settings.isChained) return [name, interfaces]
      const isDedicated = (text: string): boolean => {
        const address = parseAddress(text)
        return address === undefined || !own.get(name)?.has(address)
      }
      return [name, interfaces.map((each) => ({ ...each, addresses: each.addresses.filter(isDedicated) }))]
    }),
  )
}
