/**
 * What a drop means and what to do about it. The verdict is its name in `drops`, in `status`, in metrics and in the docs.
 */
interface DropReason {
  /** The text that users of other gateways know, if they have one for it. */
  readonly text: string
  readonly remedy: string
}

const report = 'report this as a bug, with the output of "sallyport drops"'
const askBothNodes =
  'run "sallyport status" in the agents’ pods of both nodes, and report it as a bug if they show no problem'

export const dropReasons: Readonly<Record<string, DropReason>> = {
  DROP_MALFORMED: { text: 'Invalid packet', remedy: 'find the sender of truncated or impossible packets' },
  DROP_UNKNOWN_POD: {
    text: 'Sending pod is not known yet',
    remedy:
      'wait until the agent is ready, then restart the pod; if the sender is this node, do not bind a socket that calls a Service to an address',
  },
  DROP_SPOOFED_SOURCE: {
    text: 'Invalid source ip',
    remedy: 'change the program in the pod that sends from an address that is not its own',
  },
  DROP_UNKNOWN_NODE: {
    text: 'Tunnel packet from an address that is not a cluster node',
    remedy:
      "compare the nodes' InternalIPs with the addresses that they send from. If a node sends from another address, correct the kubelet's --node-ip, or remove the NAT between the nodes",
  },
  DROP_UNKNOWN_TUNNEL: {
    text: 'Unknown tunnel identifier (VNI)',
    remedy: 'set tunnelPort to another port: another product uses this one',
  },
  DROP_NOT_A_LOCAL_POD: {
    text: 'Tunnel packet for a pod that is not on this node',
    remedy: `none needed if the pod was just deleted; if this lasts, ${askBothNodes}`,
  },
  DROP_NO_GATEWAY: {
    text: 'No egress gateway found',
    remedy: "label a node so that the policy's nodeSelector matches it",
  },
  DROP_NO_EGRESS_IP: {
    text: 'No Egress IP configured',
    remedy:
      "add an address of this family to the gateway's interface, or change the policy's interface or egressIP",
  },
  DROP_NO_LIVE_GATEWAY: {
    text: 'No reachable gateway',
    remedy: 'start a gateway again, or allow the UDP port of the tunnel between nodes',
  },
  DROP_NO_FREE_PORT: {
    text: 'No mapping for NAT masquerade',
    remedy:
      'add an egress IP to the policy, and list all of them in its egressGateways or egressGroups: all ports of this node are in use towards that destination',
  },
  DROP_TABLE_FULL: {
    text: 'Table of mappings is full',
    remedy: 'move pods to other nodes: this node has too many flows',
  },
  DROP_NOT_THE_OWNER: {
    text: 'Source port is owned by another node',
    remedy:
      'wait until the gateway knows the lease; if this lasts, read the condition Unconfirmed of the EgressAddress',
  },
  DROP_NO_MAPPING: {
    text: 'No mapping for this flow',
    remedy: `none needed if the flow has ended, or if an outside host scans the ports of an egress IP. If open connections break, ${askBothNodes}`,
  },
  DROP_UNSUPPORTED_PROTOCOL: {
    text: 'Unsupported protocol for NAT masquerade',
    remedy:
      'exclude the destination from the policy (excludedCIDRs): gateways forward only TCP, UDP and ICMP',
  },
  DROP_UNKNOWN_FRAGMENT: {
    text: 'First logical datagram fragment not found',
    remedy: 'make datagrams smaller: their fragments arrive out of order',
  },
  DROP_TTL_EXCEEDED: {
    text: 'TTL exceeded',
    remedy: 'none needed for traceroute; otherwise find the routing loop',
  },
  DROP_NO_ROUTE: {
    text: 'FIB lookup failed',
    remedy: 'add a route to the destination on the node that dropped it',
  },
  DROP_LOOP: {
    text: 'Forwarding loop between two nodes',
    remedy: `wait until both nodes know the same leases; if this lasts, ${askBothNodes}`,
  },
  DROP_POLICY_INVALID: {
    text: 'Policy cannot be honoured',
    remedy: 'read the condition Ready of the policy with kubectl describe',
  },
  DROP_INTERNAL: { text: 'Internal error of the datapath', remedy: report },
  DROP_NETWORK_POLICY: {
    text: 'Policy denied',
    remedy:
      'allow the destination and port in a NetworkPolicy that selects the pod, or set cni.networkPolicies=bypass',
  },
  DROP_TUNNEL_PORT: {
    text: 'Invalid tunnel packet',
    remedy: "set tunnelPort to another port: pods or outside hosts send UDP to the tunnel's port",
  },
  DROP_VLAN: {
    text: 'Unexpected VLAN tag',
    remedy: 'change the program in the pod that sends tagged frames',
  },
  DROP_TOO_BIG: {
    text: 'Fragmentation needed',
    remedy: 'lower the MTU of the sender, or raise the MTU of the egress device',
  },
  DROP_MULTICAST: {
    text: 'Multicast beyond the link',
    remedy: 'send with a TTL of 1, or exclude the group from the policy (excludedCIDRs)',
  },
  DROP_ADDRESS_CHANGED: {
    text: 'Source address changed on the gateway',
    remedy: 'a rule on the gateway changes the source address: add iifname != "sallyport-fwd" to that rule',
  },
  DROP_NO_ENDPOINT: {
    text: 'Service has no endpoint',
    remedy:
      'find out why no pod of the Service is ready, with externalTrafficPolicy Local on this node, or use a port that the Service has',
  },
  DROP_SOURCE_RANGES: {
    text: 'Client is not admitted by the Service',
    remedy: "add the client's address to loadBalancerSourceRanges of the Service",
  },
  DROP_POD_LIMIT: {
    text: 'Pod has too many connections',
    remedy: 'let the pod open fewer connections at once, or raise egressGateway.maxPortsPerPod',
  },
  DROP_PORT_IN_USE: {
    text: 'Port is used by the stack of the gateway',
    remedy: 'none needed: the flow gets another port when its sender tries again',
  },
  DROP_SHARED_ECHO: {
    text: 'Echo request with the address of a node',
    remedy:
      "test with TCP or UDP: in chained mode, ping cannot leave with a node's own address. Or give the gateway another address",
  },
}

export function dropReason(verdict: string): DropReason {
  return dropReasons[verdict] ?? { text: verdict, remedy: report }
}

/** `No egress gateway found (DROP_NO_GATEWAY)`. */
export function describeVerdict(verdict: string): string {
  return `${dropReason(verdict).text} (${verdict})`
}
