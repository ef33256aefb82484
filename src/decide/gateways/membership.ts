import type { Address } from '../../net/address.ts'
import type { ReasonOf } from '../status/conditions.ts'
import type { WorldNode } from '../world.ts'

/** Whether the cluster knows this node as the node itself does. Without that nobody accepts its packets. */
export type Membership =
  | { readonly isMember: true }
  | { readonly isMember: false; readonly reason: NoMemberReason; readonly message: string }

type NoMemberReason = Exclude<ReasonOf<'Connected'>, 'Connected' | 'ReachesNoNode'>

/** What this node knows of itself, and what the API server says of it. */
export interface Standing {
  readonly self: string
  /** Its Node object, with the reported address where that has none. */
  readonly node: WorldNode | undefined
  readonly hasEgressNode: boolean
  /** Every address on its devices, without the egress IPs that the agent has added. */
  readonly addresses: ReadonlySet<Address>
}

/**
 * A node that is no member holds no egress IP: other nodes drop what it sends through the tunnel, so an address that it
 * answers for on the link is an address whose traffic is lost.
 */
export function membershipOf({ self, node, hasEgressNode, addresses }: Standing): Membership {
  if (node === undefined)
    return no('NodeNotFound', `The cluster has no Node ${self}. Register the node again, or stop this agent.`)
  const [address] = node.internalIPs
  if (address === undefined)
    return no(
      'NoInternalIP',
      `Node ${self} has no InternalIP in status.addresses. Check the kubelet's --node-ip, or the cloud provider.`,
    )
  if (!addresses.has(address))
    return no(
      'AddressNotOnNode',
      `Node ${self} has InternalIP ${address}, but that is not an address of the node's own. Check the kubelet's --node-ip.`,
    )
  if (!hasEgressNode)
    return no(
      'EgressNodeNotFound',
      `The cluster has no EgressNode ${self}. The operator creates it. Read the operator's log.`,
    )
  return { isMember: true }
}

function no(reason: NoMemberReason, message: string): Membership {
  return { isMember: false, reason, message }
}
