/** What the server sends to the page: the state of a cluster as its objects and its agents report it. Times are ISO 8601. */
export interface Picture {
  readonly at: string
  readonly policies: readonly PolicyTruth[]
  readonly addresses: readonly AddressTruth[]
  readonly nodes: readonly NodeTruth[]
  readonly routes: readonly Route[]
  /** The newest first. */
  readonly timeline: readonly Moment[]
  /** What the server could not read, one sentence each. */
  readonly unknown: readonly string[]
}

export interface PolicyTruth {
  readonly kind: string
  readonly name: string
  /** `Unknown` if the policy has no condition yet. */
  readonly ready: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
  /** Missing if no node has reported pods. */
  readonly pods?: number
  readonly gateways: string
  readonly egressIps: string
}

export interface AddressTruth {
  readonly address: string
  readonly owner: string
  /** Gateways that answer for the address, as source nodes see it. More than one while they disagree. */
  readonly holders: readonly string[]
  /** Ports that nodes have beside their floor. */
  readonly leases: readonly { readonly node: string; readonly ports: number }[]
  /** What each node that uses the address says. */
  readonly users: readonly { readonly node: string; readonly portsOwned: number; readonly flows: number }[]
  readonly isShort: boolean
}

export interface NodeTruth {
  readonly name: string
  readonly isGateway: boolean
  /** Nodes whose probes this gateway does not answer. */
  readonly unreachableFrom: readonly string[]
  /** When the agent last answered. Missing if it never did. */
  readonly answeredAt?: string
  /** Why the agent did not answer. */
  readonly failure?: string
}

/** What one pod's packets to a destination do. */
export interface Route {
  readonly pod: string
  readonly node: string
  readonly policy: string
  readonly destination: string
  readonly action: 'egress' | 'exclude' | 'drop' | 'unserved'
  readonly reason?: string
  readonly egressIp?: string
  readonly holder?: string
  /** Missing if the node is the holder, or the holder is unreachable. */
  readonly path?: 'link' | 'tunnel'
}

export interface Moment {
  readonly time: string
  readonly about: string
  readonly text: string
  readonly isBad: boolean
}
