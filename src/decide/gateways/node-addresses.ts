import type { EgressNode } from '../../api/egress-node.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import type { WorldNode } from '../world.ts'

/**
 * The nodes, each with the address by which the cluster knows it. This is the address that its agent uses and reports, as
 * long as the Node object lists it or lists no InternalIP at all. A Node object may lose its addresses for a moment, or list
 * them in another order. Other nodes must not drop the node's packets because of that. If a new InternalIP replaces the
 * reported address, the new one is used at once.
 */
export function withReportedAddresses<Node extends WorldNode>(
  nodes: readonly Node[],
  egressNodes: readonly Pick<EgressNode, 'metadata' | 'status'>[],
): readonly Node[] {
  const reported = new Map(
    egressNodes.flatMap(({ metadata, status }) => {
      const address = parseAddress(status?.tunnelAddress ?? '')
      return address === undefined ? [] : [[metadata.name, address] as const]
    }),
  )
  return nodes.map((node) => withReportedAddress(node, reported.get(node.name)))
}

function withReportedAddress<Node extends WorldNode>(node: Node, reported: Address | undefined): Node {
  const { internalIPs } = node
  if (reported === undefined || internalIPs[0] === reported) return node
  if (internalIPs.length === 0) return { ...node, internalIPs: [reported], lacksInternalIP: true }
  if (!internalIPs.includes(reported)) return node
  return { ...node, internalIPs: [reported, ...internalIPs.filter((address) => address !== reported)] }
}
