import type { PortUse } from '../../../decide/explain/expected-verdict.ts'
import type {
  GatewayStory,
  NetworkPolicyStory,
  PolicyName,
  RuleStory,
  SelectionStory,
} from '../../../decide/explain/policy-story.ts'
import type { Endpoint, ServicePort } from '../../../decide/tables.ts'
import type { Address } from '../../../net/address.ts'

/** The question: what becomes of the first packet of a flow that this pod opens? */
export interface ExplainRequest {
  readonly namespace: string
  readonly pod: string
  readonly to: string
  readonly port: number
  readonly protocol: 'tcp' | 'udp' | 'icmp'
  /** Policies that count instead of those of the same name, or in addition. The answer is then about what would happen. */
  readonly policies?: readonly object[]
}

/** The answer, in the order in which the packet meets its parts. */
export interface Explanation {
  readonly isHypothetical: boolean
  readonly pod: {
    readonly namespace: string
    readonly name: string
    readonly node: string
    readonly labels: Readonly<Record<string, string>>
  }
  readonly flow: {
    readonly source: Address
    readonly destination: Address
    readonly port: number
    readonly protocol: ExplainRequest['protocol']
  }
  /** Who translates Services in this cluster. `kube-proxy` may also be the other CNI plugin. */
  readonly servicesBy: 'Sallyport' | 'kube-proxy' | 'both'
  /** If the destination is a Service. What follows is about its endpoint. */
  readonly service?: ServiceStory
  readonly policies: readonly SelectionStory[]
  /** Prefixes that contain the destination, of the policies that select the pod. The first one decides. */
  readonly rules: readonly RuleStory[]
  readonly networkPolicies: NetworkPolicyStory
  /** Of the policy that decides. */
  readonly gateways: readonly GatewayStory[]
  readonly egressIps: readonly EgressIpStory[]
  readonly decision: {
    /** Chance can leave several. */
    readonly verdicts: readonly string[]
    readonly egressIps: readonly Address[]
    /** Why the decision alone cannot say how the packet ends. */
    readonly isOpen?: string
  }
  /** What the datapath's program did with such a packet. */
  readonly program: {
    readonly verdict: string
    readonly reason?: string
    readonly remedy?: string
    readonly egressIp?: Address
    readonly egressPort?: number
    readonly policy?: PolicyName
    /** The gateway to which the packet would have gone, by the link or by the tunnel. */
    readonly holder?: string
    /** The device by which it would have left the cluster here. */
    readonly device?: string
  }
  /** Whether the program did what was decided. */
  readonly agrees: boolean
  /** How the packet leaves its gateway. Undefined if it does not leave the cluster, or if the gateway was not asked. */
  readonly wayOut?: WayOut
  /** If kube-proxy translates the destination: what becomes of the packet if it gets `service.endpoint`. */
  readonly afterService?: Explanation
}

export interface ServiceStory {
  /** As `namespace/name`. */
  readonly service: string
  readonly kind: ServicePort['kind']
  readonly address: string
  readonly port: number
  /** `none`: a policy selects the Service's address, and the packet leaves with it. */
  readonly translatedBy: 'Sallyport' | 'kube-proxy' | 'none'
  /** What the flow may get. Only the first 20. */
  readonly eligible: readonly Endpoint[]
  readonly eligibleCount: number
  /** The ones that only open flows keep, and in chained mode those that no policy of the pod selects. The first 20. */
  readonly others: readonly Endpoint[]
  /** 0: each flow may get another one. */
  readonly affinitySeconds: number
  /** What the flow of this run got, or for kube-proxy one that it could choose. */
  readonly endpoint?: Endpoint
}

interface EgressIpStory {
  readonly address: Address
  /** Its gateways by name: the owner first, then the successors. */
  readonly order: readonly string[]
  /** The gateway that the program would send to now. Undefined if it reaches none. */
  readonly holder?: string
  /** Ports that this pod's flows may have towards the destination. */
  readonly ports: PortUse
  readonly podFlows: number
}

export interface WayOut {
  readonly node: string
  readonly source: Address
  readonly destination: Address
  /** Undefined if the node has no route. */
  readonly device?: string
  /** Undefined if the destination is on the device's link. */
  readonly nextHop?: Address
  readonly mtu?: number
}
