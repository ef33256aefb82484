import type { Address } from '../../net/address.ts'
import type { ReasonOf } from '../status/conditions.ts'
import type { WorldNode } from '../world.ts'

/** Whether the cluster knows this node by an address that the node has. Otherwise other nodes drop its tunnel packets. */
export type Membership =
  | { readonly isMember: true }
  | { readonly isMember: false; readonly reason: NoMemberReason; readonly message: string }

type NoMemberReason = Exclude<ReasonOf<'Connected'>, 'Connected' | 'ReachesNoNode'>

/** What this node knows of itself, and what the API server has about it. */
export interface Standing {
  readonly self: string
  /** Its Node object. If the object lists no address, with the address that the agent reported. */
  readonly node: WorldNode | undefined
  readonly hasEgressNode: boolean
  /** Every address of its devices, without the egress IPs that the agent added. */
  readonly addresses: ReadonlySet<Address>
}

/**
 * A node that is not a member must not answer for an egress IP. Other nodes drop its tunnel packets, so all traffic of that
 * address would be lost.
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
