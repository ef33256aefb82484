import type { EgressIp, Tables } from '../decide/tables.ts'
import type { World, WorldNode } from '../decide/world.ts'
import type { Address } from '../net/address.ts'
import type { WatchView } from '../runtime/metrics/watches.ts'
import type { Applied } from './apply.ts'
import type { FailoverMoment } from './failover/failover-moments.ts'
import type { FailoverState } from './failover/state.ts'
import type { Attachment } from './pods/attachments.ts'
import type { PortState } from './ports/port-state.ts'

/** The last decision, and its input. */
export interface Decided {
  readonly world: World
  readonly tables: Tables
  /** Egress IPs in the tables, with those that no policy uses any more. */
  readonly lingering: ReadonlyMap<Address, EgressIp>
  readonly applied: Applied
}

/** What the agent knows at one moment. Queries read it and change nothing. */
export interface Snapshot {
  readonly isReady: boolean
  readonly startedAt: string
  /** Undefined until the tables were written for the first time. */
  readonly decided: Decided | undefined
  readonly failover: FailoverState
  readonly ports: PortState
  readonly attachments: readonly Attachment[]
  /** This node's Node object. */
  readonly node: WorldNode | undefined
  readonly nodes: readonly WorldNode[]
  /** The kinds that were never listed, and why. */
  readonly missing: readonly string[]
  /** The API server does not answer. */
  readonly isStale: boolean
  /** Why the tables could not be written the last time. Undefined if they could. */
  readonly applyFailure: string | undefined
  readonly reportFailure: string | undefined
  readonly podProblems: readonly string[]
  readonly watches: readonly WatchView[]
  /** When the last probes of gateways were sent, and those before them, in ns of CLOCK_MONOTONIC. */
  readonly probedAtNs: readonly bigint[]
  /** What the last failovers looked like from this node. */
  readonly moments: readonly FailoverMoment[]
}
