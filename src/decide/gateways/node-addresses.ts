import type { EgressNode } from '../../api/egress-node.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import type { WorldNode } from '../world.ts'

/**
 * Nodes with the address that the cluster knows each of them by: the one that its agent uses and has reported, as long as
 * the Node object lists it or lists no InternalIP at all. A Node object may lose its addresses for a moment, or list them
 * in another order. Neither is a reason for other nodes to drop the packets of that node. An InternalIP that replaces the
 * reported one is followed at once.
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
