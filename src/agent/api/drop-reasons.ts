/** What a drop means and what to do about it. Its name is the verdict, in `drops`, in `status`, in metrics and in the docs. */
export interface DropReason {
  /** In the words that users of other gateways know, if they have them. */
  readonly text: string
  readonly remedy: string
}

const report = 'this should not happen: report it with the output of "sallyport drops"'

export const dropReasons: Readonly<Record<string, DropReason>> = {
  DROP_MALFORMED: { text: 'Invalid packet', remedy: 'find out who sends truncated or impossible packets' },
  DROP_UNKNOWN_POD: {
    text: 'Sender is not known yet',
    remedy: 'wait until the agent is ready; then restart the pod',
  },
  DROP_SPOOFED_SOURCE: {
    text: 'Invalid source ip',
    remedy: 'a pod sends from an address that is not its own: change the program that does',
  },
  DROP_UNKNOWN_NODE: {
    text: 'Tunnel packet from an address that is no node of the cluster',
    remedy: "compare the nodes' InternalIPs with the addresses that they send from",
  },
  DROP_UNKNOWN_TUNNEL: {
    text: 'Unknown tunnel identifier (VNI)',
    remedy: 'another product uses the same UDP port: set tunnelPort',
  },
  DROP_NOT_A_LOCAL_POD: {
    text: 'Tunnel packet for a pod that is not here',
    remedy: 'none, if the pod has just been deleted',
  },
  DROP_NO_GATEWAY: {
    text: 'No egress gateway found',
    remedy: "label a node so that the policy's nodeSelector matches it",
  },
  DROP_NO_EGRESS_IP: {
    text: 'No Egress IP configured',
    remedy:
      "add an address of this family to the gateway's interface, or change interface or egressIP of the policy",
  },
  DROP_NO_LIVE_GATEWAY: {
    text: 'No reachable gateway',
    remedy: 'bring a gateway back, or allow the UDP port of the tunnel between the nodes',
  },
  DROP_NO_FREE_PORT: {
    text: 'No mapping for NAT masquerade',
    remedy: 'every port of this node is in use towards that destination: add egress IPs',
  },
  DROP_TABLE_FULL: {
    text: 'No room for another mapping',
    remedy: 'this node has too many flows: spread its pods',
  },
  DROP_NOT_THE_OWNER: {
    text: 'Source port belongs to another node',
    remedy:
      'wait until the gateway knows the lease; if it lasts, see the condition Unconfirmed of the EgressAddress',
  },
  DROP_NO_MAPPING: { text: 'No mapping of this flow', remedy: 'none, if the flow ended or expired' },
  DROP_UNSUPPORTED_PROTOCOL: {
    text: 'Unsupported protocol for NAT masquerade',
    remedy:
      'only TCP, UDP and ICMP leave by a gateway: exclude the destination from the policy (excludedCIDRs)',
  },
  DROP_UNKNOWN_FRAGMENT: {
    text: 'First logical datagram fragment not found',
    remedy: 'fragments arrive out of order: make datagrams smaller',
  },
  DROP_TTL_EXCEEDED: {
    text: 'TTL exceeded',
    remedy: 'none for traceroute; otherwise look for a routing loop',
  },
  DROP_NO_ROUTE: {
    text: 'FIB lookup failed',
    remedy: 'add a route to the destination on the node that dropped it',
  },
  DROP_LOOP: {
    text: 'Two nodes send the packet to each other',
    remedy: 'wait until both know the same leases',
  },
  DROP_POLICY_INVALID: {
    text: 'Policy cannot be honoured',
    remedy: "see the policy's Ready condition: kubectl describe",
  },
  DROP_INTERNAL: { text: 'Internal error of the datapath', remedy: report },
  DROP_NETWORK_POLICY: {
    text: 'Policy denied',
    remedy: 'a NetworkPolicy restricts the pod: allow all egress there, or set cni.networkPolicies=bypass',
  },
  DROP_TUNNEL_PORT: {
    text: 'Invalid tunnel packet',
    remedy: "pods send UDP to the tunnel's port, or somebody outside does: set tunnelPort to another port",
  },
  DROP_VLAN: {
    text: 'Unexpected VLAN tag',
    remedy: 'a pod sends tagged frames: change the program that does',
  },
  DROP_TOO_BIG: {
    text: 'Fragmentation needed',
    remedy: 'lower the MTU of the sender, or raise that of the way out',
  },
}

export function dropReason(verdict: string): DropReason {
  return dropReasons[verdict] ?? { text: verdict, remedy: report }
}

/** `No egress gateway found (DROP_NO_GATEWAY)`. */
export function describeVerdict(verdict: string): string {
  return `${dropReason(verdict).text} (${verdict})`
}
