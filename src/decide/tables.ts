import type { DeniedPods, SelectedPods } from '../api/egress-node.ts'
import type { NatLogChoice } from '../api/nat-log-annotation.ts'
import type { Address } from '../net/address.ts'
import type { Prefix } from '../net/prefix.ts'
import type { CarriedPolicy } from './gateways/carried-policies.ts'
import type { ProtocolPorts } from './policies/network-ports.ts'
import type { ExternalAddress } from './world.ts'

/**
 * What every table of this node's datapath must hold, as addresses and names. `datapath/` turns it into bytes. Ids are
 * 64-bit hashes of their content, so a restarted agent computes the same ones, and an id never changes its meaning.
 */
export interface Tables {
  /** By pod IP, of each of this node's pods. */
  readonly podsByIp: ReadonlyMap<Address, PodEntry>
  readonly cluster: ReadonlyMap<Prefix, ClusterDestination>
  /** For each policy set its rules, by destination prefix. */
  readonly rules: ReadonlyMap<bigint, ReadonlyMap<Prefix, Rule>>
  /** All of them if Sallyport replaces kube-proxy; chained, those that lead out of the cluster. */
  readonly services: readonly ServicePort[]
  /** What load balancers ask this node, by port. */
  readonly healthChecks: ReadonlyMap<number, HealthCheck>
  /** By set of NetworkPolicies, then by destination prefix: what the pods that they restrict may send outside the cluster. */
  readonly networkRules: ReadonlyMap<bigint, ReadonlyMap<Prefix, NetworkRule>>
  /** By id: the ports that a network rule allows. Never empty. */
  readonly portLists: ReadonlyMap<bigint, readonly ProtocolPorts[]>
  /** By group id. */
  readonly groups: ReadonlyMap<bigint, Group>
  readonly egressIps: ReadonlyMap<Address, EgressIp>
  /**
   * Egress IPs whose owner is alive, but cannot answer because its interface carries no traffic or has lost the address. The
   * first gateway in the order takes them over.
   */
  readonly ownerless: ReadonlySet<Address>
  /** Those of them that linger because their owner has lost them: the gateways that answer instead, by tunnel address. */
  readonly orphaned: ReadonlyMap<Address, readonly Address[]>
  readonly pools: readonly Pool[]
  /** Addresses from the pools of policies, each with the node and the interface that it belongs on. */
  readonly poolAddresses: ReadonlyMap<Address, PoolAddress>
  /** The nodes of the cluster as the hosts of a link see them. */
  readonly clusterHosts: ClusterHosts
  /** Every node that may send through the tunnel, this one included, by tunnel address. */
  readonly nodes: ReadonlyMap<Address, { readonly name: string; readonly slot: number | undefined }>
  /**
   * Nodes that this node probes in addition to gateways, by tunnel address. Their answers show that this node is not cut
   * off.
   */
  readonly witnesses: readonly Address[]
  /** The kind and name of each policy, by policy id. */
  readonly policies: ReadonlyMap<bigint, PolicyName>
  /** For the operator: which policies these tables come from (digestPolicies). */
  readonly policiesDigest: string
  /** The same for the addresses of pools (digestGrants). */
  readonly grantsDigest: string
  /** For users: how many of this node's pods each policy selects. */
  readonly selected: readonly SelectedPods[]
  /** For people: pods whose packets are dropped because NetworkPolicies cannot be evaluated, or are not to be; by pod. */
  readonly refusals: readonly Refusal[]
  /** For people: how many pods lose all that an egress policy selects, because their NetworkPolicies allow nothing of it. */
  readonly denied: readonly DeniedPods[]
  /** For people: the policies of which this node is a gateway. */
  readonly carried: readonly CarriedPolicy[]
  readonly self: Self
}

export interface PolicyName {
  readonly kind: string
  readonly name: string
  /** Whether its flows are in the NAT log, if the policy says so. */
  readonly natLog?: NatLogChoice
}

/**
 * One port of a Service. Port and protocol 0: chained, all packets without ports to translate; else all other ports of the
 * address.
 */
export interface ServicePort {
  /** As `namespace/name`. */
  readonly service: string
  /** What the address is to the Service. */
  readonly kind: 'ClusterIP' | 'NodePort' | ExternalAddress['kind']
  readonly address: Address
  readonly port: number
  /** IPPROTO_*. */
  readonly protocol: number
  /** How long a client keeps its endpoint. 0: it may change with each connection. */
  readonly affinityMs: number
  /** For new flows, sorted. If there are clients outside, those inside the cluster come first. */
  readonly endpoints: readonly Endpoint[]
  /** Only open flows go on to them. */
  readonly leaving: readonly Endpoint[]
  /** Absent: no client outside the cluster reaches the address. */
  readonly clients?: ClientAccess
  /** loadBalancerSourceRanges. Absent: every client is admitted. */
  readonly sources?: readonly Prefix[]
}

export interface HealthCheck {
  readonly namespace: string
  readonly name: string
  /** Endpoints on this node. */
  readonly localEndpoints: number
}

interface ClientAccess {
  /** externalTrafficPolicy: `thisNode` is Local. */
  readonly endpointsOf: 'anyNode' | 'thisNode'
  /** The endpoints of this node for new flows. */
  readonly local: readonly Endpoint[]
}

export interface Endpoint {
  readonly address: Address
  readonly port: number
}

export interface PodEntry {
  /** 0n: no policy selects it. */
  readonly policySet: bigint
  /** 0n: no NetworkPolicy restricts what it sends outside the cluster. */
  readonly networkSet: bigint
  readonly podUid: string
}

export type NetworkRule =
  | { readonly action: 'deny' }
  | { readonly action: 'allow' }
  | { readonly action: 'allowPorts'; readonly portList: bigint }

/** The egress IPs that new flows may use, at most 256 together. */
export interface Group {
  /** Sorted, never empty. */
  readonly preferred: readonly Address[]
  /** Sorted. New flows use them if no owner of a preferred one answers. */
  readonly standby: readonly Address[]
  /** A preferred egress IP that its successor holds comes before a standby one. */
  readonly keepsAddress: boolean
}

export type ClusterDestination =
  /** An address of another node, or the pods of another node. */
  | ({ readonly kind: 'node'; readonly tunnelAddress: Address } & NodeAddress)
  | { readonly kind: 'pods'; readonly tunnelAddress: Address }
  | ({ readonly kind: 'host' } & NodeAddress)
  | { readonly kind: 'stack' }
  /** Outside the cluster, and left to the stack untranslated. Stand-alone, NetworkPolicies hold for it. */
  | { readonly kind: 'routed' }

interface NodeAddress {
  /** An egress IP. Packets for its ports that have an owner belong to flows of pods, not to the node. */
  readonly carriesFlows?: true
  /** Services have their node ports there. */
  readonly takesNodePorts?: true
}

export type Rule =
  | { readonly action: 'egress'; readonly group: bigint; readonly policy: bigint }
  | { readonly action: 'exclude'; readonly policy: bigint }
  | { readonly action: 'drop'; readonly reason: DropReason; readonly policy: bigint }

/** Each is a verdict of bpf/types.h. */
export type DropReason =
  | 'DROP_NO_GATEWAY'
  | 'DROP_NO_EGRESS_IP'
  | 'DROP_POLICY_INVALID'
  | 'DROP_NETWORK_POLICY'

/** Pods and NetworkPolicies as `namespace/name`, egress policies as kind and name. */
export interface Refusal {
  readonly pod: string
  readonly networkPolicies: readonly string[]
  readonly policies: readonly string[]
  /** What of the NetworkPolicies cannot be evaluated. Empty: all that egress policies select is refused, as configured. */
  readonly problems: readonly string[]
}

export interface EgressIp {
  /** Tunnel addresses, the owner first, then its successors. */
  readonly order: readonly Address[]
  /**
   * For each block of 16 ports (index = port >> 4) the slot that owns it, or undefined. `self` is this node, whether it has
   * a slot or not, for the blocks that it masquerades with. The length is 4096.
   */
  readonly blockOwner: readonly (number | 'self' | 'stack' | undefined)[]
}

export interface PoolAddress {
  readonly node: string
  /** Undefined means the interface of the default route. */
  readonly interface: string | undefined
}

export interface ClusterHosts {
  /** Undefined while the agent of some node does not report MACs yet. */
  readonly macs: ReadonlySet<string> | undefined
  /** Addresses that other nodes report on their interfaces. */
  readonly addressesOfOthers: ReadonlySet<Address>
}

export interface Pool {
  readonly address: Address
  readonly purpose: 'egress' | 'masquerade'
  /** The blocks that this node may use for new flows, as first port divided by 16, ascending. */
  readonly blocks: readonly number[]
}

export interface Self {
  readonly tunnelAddress: Address
  /** Pods leave with it if no policy selects them; in chained mode only flows of policies do, and it is shared with the stack. */
  readonly masquerade4: Address | undefined
  readonly masquerade6: Address | undefined
  readonly slot: number | undefined
}
