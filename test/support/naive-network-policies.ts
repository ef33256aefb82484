import ipaddr from 'ipaddr.js'

/*
 * The oracle for egress rules of NetworkPolicies: what Kubernetes says about one packet to a destination outside the cluster,
 * written down sentence by sentence. It shares no code with what it judges.
 */

export interface NaiveEgress {
  readonly to?: readonly NaivePeer[]
  readonly ports?: readonly {
    readonly protocol?: string
    readonly port?: number
    readonly endPort?: number
  }[]
}

type NaivePeer =
  | { readonly ipBlock: { readonly cidr: string; readonly except?: readonly string[] } }
  | { readonly podSelector: object }
  | { readonly namespaceSelector: object }

export interface NaivePacket {
  readonly destination: string
  readonly protocol: 'TCP' | 'UDP' | 'SCTP' | 'ICMP'
  readonly port: number
}

/** Does any rule of the policies that select a pod allow the packet? */
export function naiveAllows(policies: readonly (readonly NaiveEgress[])[], packet: NaivePacket): boolean {
  return policies.flat().some((rule) => matchesDestination(rule, packet) && matchesPort(rule, packet))
}

function matchesDestination({ to }: NaiveEgress, { destination }: NaivePacket): boolean {
  if (to === undefined || to.length === 0) return true
  return to.some((peer) => {
    if (!('ipBlock' in peer)) return false
    const { cidr, except = [] } = peer.ipBlock
    return isIn(cidr, destination) && !except.some((hole) => isIn(hole, destination))
  })
}

function matchesPort({ ports }: NaiveEgress, { protocol, port }: NaivePacket): boolean {
  if (ports === undefined || ports.length === 0) return true
  return ports.some((each) => {
    if ((each.protocol ?? 'TCP') !== protocol) return false
    return each.port === undefined || (port >= each.port && port <= (each.endPort ?? each.port))
  })
}

function isIn(cidr: string, address: string): boolean {
  const [network, bits] = ipaddr.parseCIDR(cidr)
  const parsed = ipaddr.parse(address)
  return parsed.kind() === network.kind() && parsed.match([network, bits] as never)
}
