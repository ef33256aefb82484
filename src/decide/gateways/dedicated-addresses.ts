import type { NodeInterface } from '../../api/egress-node.ts'
import { parseAddress } from '../../net/address.ts'
import type { Policy } from '../policies/policies.ts'
import type { World } from '../world.ts'

/**
 * In chained mode the kernel translates traffic that no policy selects to the node's own address, with any port. So the
 * port of a reply to that address does not tell whose reply it is, and the address cannot be an egress IP. The functions
 * here remove such addresses from policies and interfaces.
 */
type Given = Pick<World, 'nodes' | 'egressNodes' | 'settings'>

/** If a policy sets egressIP to a node's own address, this is a user's mistake, and the policy's traffic is dropped. */
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

/** The first address of an interface counts. In chained mode the node's own addresses are left out first. */
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
