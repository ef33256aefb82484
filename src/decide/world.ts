import type { CiliumEgressGatewayPolicy } from '../api/cilium-egress-gateway-policy.ts'
import type { EgressAddress } from '../api/egress-address.ts'
import type { EgressNode } from '../api/egress-node.ts'
import type { IsovalentEgressGatewayPolicy } from '../api/isovalent-egress-gateway-policy.ts'
import type { LabelSelector } from '../api/label-selector.ts'
import type { Address } from '../net/address.ts'
import type { PortSettings } from '../net/ports.ts'
import type { Prefix } from '../net/prefix.ts'
import type { Allowance } from './policies/network-policies.ts'

/** What one process knows of the cluster: an immutable snapshot of its watches, trimmed to what decisions need. */
export interface World {
  /** The node that decides, by name. */
  readonly self: string
  readonly nodes: readonly WorldNode[]
  readonly namespaces: readonly { readonly name: string; readonly labels: Labels }[]
  /** The agent's world holds only its own node's pods; the view of `bpf egress list` holds all. */
  readonly pods: readonly WorldPod[]
  readonly ciliumPolicies: readonly CiliumEgressGatewayPolicy[]
  readonly isovalentPolicies: readonly IsovalentEgressGatewayPolicy[]
  /** Of the agent, unless they are bypassed: those that are about egress. */
  readonly networkPolicies?: readonly EgressRestriction[]
  readonly egressNodes: readonly EgressNode[]
  readonly egressAddresses: readonly EgressAddress[]
  /** By name, the gateways that do not answer this node's probes, and those that do. */
  readonly unreachableNodes?: ReadonlySet<string>
  readonly reachableNodes?: ReadonlySet<string>
  /** Of the agent: every address at which its own node's kernel delivers a packet to the node, broadcast addresses among them. */
  readonly ownAddresses?: readonly Address[]
  /** What this node remembers of the ports that were leased to it. */
  readonly ownLeases?: OwnLeases
  /** By egress IP that flows may still have: who may answer for it, by tunnel address, as of the last decision. */
  readonly lingeringOrders?: ReadonlyMap<Address, readonly Address[]>
  readonly settings: Settings
}

export interface OwnLeases {
  /**
   * By address and block: the revision of the address's leases in which this node saw the block first; 0 once it is in
   * use.
   */
  readonly since: ReadonlyMap<Address, ReadonlyMap<number, number>>
  /** Blocks that are about to be given back: nothing new may use them. */
  readonly leaving: ReadonlyMap<Address, ReadonlySet<number>>
}

export type Labels = Readonly<Record<string, string>>

export interface WorldNode {
  readonly name: string
  readonly labels: Labels
  /** The tunnel ends at the first; status.addresses of type InternalIP. */
  readonly internalIPs: readonly Address[]
  /** Its Node object lists no InternalIP: the address is the one that its agent has reported. */
  readonly lacksInternalIP?: boolean
  readonly podCIDRs: readonly Prefix[]
  /** spec.unschedulable: somebody is about to drain it. */
  readonly isCordoned?: boolean
  /** The condition Ready; undefined where nobody has said yet. */
  readonly isReady?: boolean
}

export interface WorldPod {
  readonly uid: string
  readonly name: string
  readonly namespace: string
  readonly labels: Labels
  /** Undefined: the one named default. */
  readonly serviceAccount?: string
  readonly nodeName: string
  readonly ips: readonly Address[]
  readonly hostNetwork: boolean
}

/** Of a NetworkPolicy, whom it selects and what that means for what they send. */
export interface EgressRestriction {
  readonly namespace: string
  readonly name: string
  readonly podSelector: LabelSelector
  /** One of its rules allows every packet: who is selected may send whatever other NetworkPolicies say. */
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
  /** Slots that the floor is split over; a power of two from 16 to 2048. Default 512. */
  readonly slots: number
  /** Another CNI plugin wires the pods, routes between them and gives them the node's address. */
  readonly isChained: boolean
  readonly networkPolicies: NetworkPolicyMode
  /** Prefixes that stay with the kernel's stack: Services, and pods that another CNI routes. */
  readonly stackCIDRs: readonly Prefix[]
  /** Ports of egress IPs that flows may have. Whose a port is does not depend on it. */
  readonly ports: PortSettings
  /** Destinations that leave untranslated, by the kernel's own routes. */
  readonly nonMasqueradeCIDRs: readonly Prefix[]
}
