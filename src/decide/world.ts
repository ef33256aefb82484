import type { CiliumEgressGatewayPolicy } from '../api/cilium-egress-gateway-policy.ts'
import type { EgressAddress } from '../api/egress-address.ts'
import type { EgressNode } from '../api/egress-node.ts'
import type { IsovalentEgressGatewayPolicy } from '../api/isovalent-egress-gateway-policy.ts'
import type { LabelSelector } from '../api/label-selector.ts'
import type { Address } from '../net/address.ts'
import type { PortSettings } from '../net/ports.ts'
import type { Prefix } from '../net/prefix.ts'
import type { Allowance } from './policies/network-policies.ts'

/** What one process knows about the cluster: an immutable snapshot of its watches, trimmed to what decisions need. */
export interface World {
  /** The name of the node that decides. */
  readonly self: string
  readonly nodes: readonly WorldNode[]
  readonly namespaces: readonly { readonly name: string; readonly labels: Labels }[]
  /** An agent's world has only its own node's pods. The view of `bpf egress list` has all pods. */
  readonly pods: readonly WorldPod[]
  readonly ciliumPolicies: readonly CiliumEgressGatewayPolicy[]
  readonly isovalentPolicies: readonly IsovalentEgressGatewayPolicy[]
  /** Of the agent, unless they are bypassed: those that are about egress. */
  readonly networkPolicies?: readonly EgressRestriction[]
  /**
   * All Services if Sallyport replaces kube-proxy. Chained: Services without a selector, whose endpoints may be outside the
   * cluster, and those endpoints.
   */
  readonly services?: readonly WorldService[]
  readonly endpoints?: readonly WorldEndpoints[]
  readonly egressNodes: readonly EgressNode[]
  readonly egressAddresses: readonly EgressAddress[]
  /** The names of gateways that do not answer this node's probes, and of those that do. */
  readonly unreachableNodes?: ReadonlySet<string>
  readonly reachableNodes?: ReadonlySet<string>
  /**
   * Only in an agent's world: every address at which its own node's kernel delivers packets to the node, broadcast addresses
   * included.
   */
  readonly ownAddresses?: readonly Address[]
  /** What this node remembers about the ports that it leases. */
  readonly ownLeases?: OwnLeases
  /** For each egress IP that flows may still have: its gateways by tunnel address, as of the last decision. */
  readonly lingeringOrders?: ReadonlyMap<Address, readonly Address[]>
  /** Those of them that came from a pool. The agents of gateways add such addresses, and no administrator configured them. */
  readonly lingeringFromPools?: ReadonlySet<Address>
  readonly settings: Settings
}

export interface OwnLeases {
  /**
   * By address and block: the revision of the address's leases in which this node first saw the block. 0 once it is in use.
   */
  readonly since: ReadonlyMap<Address, ReadonlyMap<number, number>>
  /** Blocks that are about to be returned. New flows must not use them. */
  readonly leaving: ReadonlyMap<Address, ReadonlySet<number>>
}

export type Labels = Readonly<Record<string, string>>

export interface WorldNode {
  readonly name: string
  readonly labels: Labels
  /** Addresses of type InternalIP in status.addresses. The tunnel ends at the first one. */
  readonly internalIPs: readonly Address[]
  /** The Node object lists no InternalIP. `internalIPs` has the address that the node's agent reported. */
  readonly lacksInternalIP?: boolean
  readonly podCIDRs: readonly Prefix[]
  /** spec.unschedulable: the node is about to be drained. */
  readonly isCordoned?: boolean
  /** The condition Ready. Undefined if it has not been reported yet. */
  readonly isReady?: boolean
  /** Differs after each boot of the machine. Its kubelet reports it. */
  readonly bootId?: string
}

export interface WorldPod {
  readonly uid: string
  readonly name: string
  readonly namespace: string
  readonly labels: Labels
  /** Undefined means the one named default. */
  readonly serviceAccount?: string
  readonly nodeName: string
  readonly ips: readonly Address[]
  readonly hostNetwork: boolean
}

export interface WorldService {
  readonly namespace: string
  readonly name: string
  /** Its cluster IPs. */
  readonly addresses: readonly Address[]
  /** By which clients outside the cluster reach it. Pods need not leave the cluster for it. */
  readonly external: readonly ExternalAddress[]
  readonly ports: readonly (NamedPort & { readonly nodePort?: number })[]
  /** Session affinity by the client's address lasts as long. 0: there is none. */
  readonly affinityMs: number
  /** internalTrafficPolicy: only endpoints of the client's node count. */
  readonly isLocal: boolean
  /** externalTrafficPolicy: for clients outside, only endpoints of the node that they speak to count. */
  readonly isLocalForClients: boolean
  /** loadBalancerSourceRanges: the clients that the addresses of its load balancer admit. Empty: all. */
  readonly sources: readonly Prefix[]
  /** healthCheckNodePort: where each node says whether it has an endpoint. */
  readonly healthCheckPort?: number
}

export interface ExternalAddress {
  readonly address: Address
  readonly kind: 'ExternalIPs' | 'LoadBalancer'
}

/** Those of an EndpointSlice that serve. */
export interface WorldEndpoints {
  readonly namespace: string
  /** The name of the Service. */
  readonly service: string
  readonly ports: readonly NamedPort[]
  readonly endpoints: readonly WorldEndpoint[]
}

export interface WorldEndpoint {
  readonly address: Address
  /** It takes no new connections if there are others. */
  readonly isEnding: boolean
  readonly node?: string
  /** Hints: the nodes whose clients the endpoint is for. */
  readonly forNodes?: readonly string[]
  /** The same of zones. */
  readonly forZones?: readonly string[]
}

/** A port of a Service has the same name as the port of its endpoints. */
export interface NamedPort {
  readonly name: string
  readonly port: number
  /** `TCP`, `UDP` or `SCTP`. */
  readonly protocol: string
}

/** Of a NetworkPolicy, whom it selects and what that means for what they send. */
export interface EgressRestriction {
  readonly namespace: string
  readonly name: string
  readonly podSelector: LabelSelector
  /** One of its rules allows every packet. A pod that it selects may send anything, whatever other NetworkPolicies say. */
  readonly allowsAll: boolean
  /** What it allows outside the cluster, as far as it can be evaluated. */
  readonly allowances: readonly Allowance[]
  /** What of it cannot be evaluated, with its place in the object. */
  readonly problems: readonly string[]
}

/**
 * `enforce`: NetworkPolicies hold for all traffic that Sallyport carries out of the cluster. `refuse`: so they do, and what an
 * egress policy selects of a pod that they restrict is dropped altogether. `bypass`: they are ignored.
 */
export type NetworkPolicyMode = 'enforce' | 'refuse' | 'bypass'

export interface Settings {
  /** The number of slots that the floor is split over, a power of two from 16 to 2048. Default: 512. */
  readonly slots: number
  /** Another CNI plugin wires the pods, routes between them and masquerades with the node's address. */
  readonly isChained: boolean
  /** For agents. Stand-alone: no kube-proxy runs, and the datapath translates Services. */
  readonly replacesKubeProxy?: boolean
  readonly networkPolicies: NetworkPolicyMode
  /** Destinations that are left to the kernel's stack: Services, and pods that another CNI plugin routes. */
  readonly stackCIDRs: readonly Prefix[]
  /** Addresses of nodes at which Services have their node ports. Empty or absent: all. */
  readonly nodePortAddresses?: readonly Prefix[]
  /** The ports of egress IPs that new flows may use. The owner of a port does not depend on it. */
  readonly ports: PortSettings
  /** Destinations to which packets leave untranslated, by the kernel's own routes. */
  readonly nonMasqueradeCIDRs: readonly Prefix[]
}
