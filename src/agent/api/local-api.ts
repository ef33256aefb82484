import type { Address } from '../../net/address.ts'

/**
 * What the agent answers on its unix socket, HTTP with JSON bodies. Errors are `{ message }` with a 4xx or 5xx status.
 *
 *   GET  /healthz          204 when alive
 *   GET  /readyz           204 when every watch has finished its first list and the tables are written, else 503
 *   GET  /v1/status        AgentStatus
 *   GET  /v1/config        Record<string, string>: the configuration in force, by its ConfigMap keys
 *   GET  /v1/findings      Finding[]: what a check of this node finds now
 *   GET  /v1/bpf/egress    CompatibleEgressRow[]
 *   GET  /v1/egress        EgressView[]
 *   GET  /v1/page          PageView: what the page of sallyport ui asks each agent
 *   GET  /v1/services      ServiceView[]
 *   GET  /v1/drops         server-sent events, one DropEvent each
 *   POST /v1/explain       ExplainRequest -> Explanation
 *   GET  /v1/way-out       ?from=&to= -> WayOut: how this node, as a gateway, sends such a packet
 *   POST /v1/test-packet   TestPacketRequest -> TestPacketResult: sends one real packet, and waits for its answer
 *   GET  /v1/passages      ?PassageQuery: server-sent events, one PassageLine each: what the programs do with the test packet of another node
 *   GET  /v1/owner         ?address=&port= -> PortOwner
 *   GET  /v1/flows         ?FlowQuery: server-sent events, one FlowRow each, until the table is read
 *   GET  /v1/nat-log       ?NatLogQuery: server-sent events: a NatLogCover, then each NatLogLine that matches
 *   GET  /metrics          Prometheus text
 *   POST /v1/cni           CniRequest -> CniResult
 *   POST /v1/cni/loopback  { netns } -> { addresses }: sets lo of that namespace up
 */
export const agentSocketPath = '/run/sallyport/agent.sock'

export interface AgentStatus {
  readonly version: string
  readonly node: string
  readonly isReady: boolean
  readonly startedAt: string
  readonly kernel: string
  /** The devices that the datapath's programs are attached to. */
  readonly devices: readonly DeviceStatus[]
  readonly podCIDRs: readonly string[]
  readonly masquerading: { readonly ipv4: boolean; readonly ipv6: boolean }
  readonly slot: number | undefined
  readonly tunnel: { readonly device: string; readonly port: number; readonly mtu: number }
  /** With egressPath=auto, for each gateway that this node probes. Absent: the tunnel, to all of them. */
  readonly paths?: readonly GatewayPath[]
  readonly counts: {
    readonly pods: number
    readonly policies: number
    readonly nodes: number
    readonly mappings: number
  }
  /** Packets since load, by program and verdict. */
  readonly verdicts: readonly {
    readonly program: string
    readonly verdict: string
    readonly packets: number
    readonly bytes: number
  }[]
  /** Dropped packets since load, one entry for each reason. `verdict` is the reason's name everywhere. */
  readonly drops: readonly {
    readonly verdict: string
    readonly reason: string
    readonly remedy: string
    readonly packets: number
  }[]
  /** Problems of this node, one sentence each with the remedy. Empty if there are none. */
  readonly problems: readonly string[]
}

/** How packets get to a gateway. */
export interface GatewayPath {
  /** The gateway's name. */
  readonly node: string
  readonly path: 'link' | 'tunnel'
  /** Why not by the link. */
  readonly reason?: string
}

export interface DeviceStatus {
  readonly name: string
  readonly addresses: readonly Address[]
  /** The device has the node's tunnel address. */
  readonly isDirectRouting: boolean
}

/** A row of `bpf egress list`, with the field names that scripts of its users read. */
export interface CompatibleEgressRow {
  readonly SourceIP: string
  readonly DestCIDR: string
  readonly EgressIP: string
  readonly GatewayIP: string
}

/** What the tables really contain, for `egress list`. */
export interface EgressView {
  readonly pod: { readonly namespace: string; readonly name: string; readonly ips: readonly Address[] }
  readonly destination: string
  readonly policy: { readonly kind: string; readonly name: string }
  /** `unserved`: no policy applies to the destination, and the reason says why. */
  readonly action: 'egress' | 'exclude' | 'drop' | 'unserved'
  readonly reason?: string
  readonly egressIps: readonly {
    readonly address: Address
    /** The gateway that answers for the egress IP now. If none is reachable, its owner. */
    readonly holder: string | undefined
    /** The owner first, then its successors. */
    readonly order: readonly string[]
    /** Gateways of the order that do not answer this node's probes. */
    readonly unreachable: readonly string[]
    /** How packets of this node get to the holder. Absent: this node is the holder, or the holder is unreachable. */
    readonly path?: GatewayPath['path']
    readonly takesNewFlows: boolean
    readonly portsOwned: number
    readonly flows: number
  }[]
}

export interface PageView {
  readonly egress: readonly EgressView[]
  /** The last ones, the oldest first. */
  readonly moments: readonly {
    /** The same in each answer of this agent. */
    readonly id: string
    readonly time: string
    readonly kind: 'announced' | 'flowsBack'
    readonly egressIp: Address
    readonly afterMs?: number
  }[]
}

/** One port of a Service that this node translates. */
export interface ServiceView {
  /** Its place in the list. */
  readonly id: number
  /** As `namespace/name`. */
  readonly service: string
  readonly kind: 'ClusterIP' | 'NodePort' | 'ExternalIPs' | 'LoadBalancer'
  readonly address: Address
  readonly port: number
  readonly protocol: string
  /** 0: a client's next connection may go to another endpoint. */
  readonly affinitySeconds: number
  /** From which nodes clients outside the cluster get endpoints (externalTrafficPolicy). Absent: they do not reach the address. */
  readonly clients?: 'Cluster' | 'Local'
  /** A terminating one gets no new connections. */
  readonly endpoints: readonly {
    readonly address: Address
    readonly port: number
    readonly state: 'active' | 'terminating'
  }[]
}

export interface DropEvent {
  readonly time: string
  readonly program: string
  readonly verdict: string
  readonly reason: string
  readonly source: string
  readonly destination: string
  readonly protocol: string
  readonly length: number
  readonly node: string
  readonly remedy: string
  /** The pod of this node that has the source or the destination, as namespace/name. */
  readonly pod?: string
}

export interface CniRequest {
  readonly command: 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS'
  readonly containerId: string
  /** A path that the agent can open. Missing in a DEL if the namespace no longer exists. */
  readonly netns?: string
  readonly interfaceName: string
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid: string }
  /** In an ADD in chained mode: the result of the previous plugin. */
  readonly prevResult?: unknown
  /** In a GC: the containers that still exist. */
  readonly validContainerIds?: readonly string[]
}

/**
 * A CNI result (cni.dev, spec 1.0.0). Empty for DEL and CHECK, and for an ADD in chained mode, which passes the previous
 * result on.
 */
export interface CniResult {
  readonly cniVersion: string
  readonly interfaces: readonly { readonly name: string; readonly mac: string; readonly sandbox?: string }[]
  readonly ips: readonly { readonly interface: number; readonly address: string; readonly gateway: string }[]
  readonly routes: readonly { readonly dst: string; readonly gw?: string }[]
}
