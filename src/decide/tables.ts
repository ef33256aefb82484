import type { SelectedPods } from '../api/egress-node.ts'
import type { Address } from '../net/address.ts'
import type { Prefix } from '../net/prefix.ts'
import type { ProtocolPorts } from './policies/network-ports.ts'

/**
 * What every table of this node's datapath must hold, in terms of addresses and names; `datapath/` turns it into bytes.
 * Ids are 64-bit content hashes of what they stand for, so a restarted agent computes the same ones
 * and an id never changes its meaning.
 */
export interface Tables {
  /** By pod IP, of each of this node's pods. */
  readonly podsByIp: ReadonlyMap<Address, PodEntry>
  readonly cluster: ReadonlyMap<Prefix, ClusterDestination>
  /** By policy set, then by destination prefix. */
  readonly rules: ReadonlyMap<bigint, ReadonlyMap<Prefix, Rule>>
  /** By set of NetworkPolicies, then by destination prefix: what the pods that they restrict may send outside the cluster. */
  readonly networkRules: ReadonlyMap<bigint, ReadonlyMap<Prefix, NetworkRule>>
  /** By id: the ports that a network rule allows. Never empty. */
  readonly portLists: ReadonlyMap<bigint, readonly ProtocolPorts[]>
  /** By group id. */
  readonly groups: ReadonlyMap<bigint, Group>
  readonly egressIps: ReadonlyMap<Address, EgressIp>
  /** Egress IPs whose owner is alive, but not the interface that has them: the first in the order takes them over. */
  readonly ownerless: ReadonlySet<Address>
  readonly pools: readonly Pool[]
  /** Addresses from the pools of policies, each with the node that is to have it on its interface. */
  readonly poolAddresses: ReadonlyMap<Address, PoolAddress>
  /** Every node that may send through the tunnel, this one included, by tunnel address. */
  readonly nodes: ReadonlyMap<Address, { readonly name: string; readonly slot: number | undefined }>
  /** Nodes that this node probes besides gateways, by tunnel address: their answers show that it is not cut off. */
  readonly witnesses: readonly Address[]
  /** By policy id: what a person calls it. */
  readonly policies: ReadonlyMap<bigint, { readonly kind: string; readonly name: string }>
  /** For people: by policy, how many of this node's pods it selects. */
  readonly selected: readonly SelectedPods[]
  /** For people: pods whose packets are dropped because NetworkPolicies cannot be evaluated, or are not to be; by pod. */
  readonly refusals: readonly Refusal[]
  readonly self: Self
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

/** Egress IPs open to new flows; at most 256 together. */
export interface Group {
  /** Sorted, never empty. */
  readonly preferred: readonly Address[]
  /** Sorted: for the time when no owner of a preferred one answers. */
  readonly standby: readonly Address[]
  /** A preferred address at its successor comes before one that stands by. */
  readonly keepsAddress: boolean
}

/** `carriesFlows`: an egress IP. Packets for its ports that have an owner belong to flows of pods, not to the node. */
export type ClusterDestination =
  /** An address of another node, or the pods of another node. */
  | { readonly kind: 'node' | 'pods'; readonly tunnelAddress: Address; readonly carriesFlows?: true }
  | { readonly kind: 'host'; readonly carriesFlows?: true }
  | { readonly kind: 'stack' }
  /** Outside the cluster, and left to the stack untranslated. Stand-alone, NetworkPolicies hold for it. */
  | { readonly kind: 'routed' }

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

/** Names are `namespace/name`; of egress policies, the kind and the name. */
export interface Refusal {
  readonly pod: string
  readonly networkPolicies: readonly string[]
  readonly policies: readonly string[]
  /** What of the NetworkPolicies cannot be evaluated. Empty: all that egress policies select is refused, as configured. */
  readonly problems: readonly string[]
}

export interface EgressIp {
  /** Tunnel addresses: the owner first, then the successors. */
  readonly order: readonly Address[]
  /**
   * By block (16 ports each, index = port >> 4): the slot that owns it, or undefined. `self` is this very node, whether it
   * has a slot or not: the blocks that it masquerades with. Length 4096.
   */
  readonly blockOwner: readonly (number | 'self' | 'stack' | undefined)[]
}

export interface PoolAddress {
  readonly node: string
  /** Undefined: that of the default route. */
  readonly interface: string | undefined
}

export interface Pool {
  readonly address: Address
  readonly purpose: 'egress' | 'masquerade'
  /** First ports of the blocks, divided by 16, that this node may use for new flows; ascending. */
  readonly blocks: readonly number[]
}

export interface Self {
  readonly tunnelAddress: Address
  readonly masquerade4: Address | undefined
  readonly masquerade6: Address | undefined
  readonly slot: number | undefined
}
