import type { Datapath } from '../datapath/datapath.ts'
import type { NodeRules } from '../decide/status/stack-rules.ts'
import type { Configuration } from '../install/configuration.ts'
import type { KubeClient } from '../kube/client.ts'
import type { Machine } from '../linux/machine.ts'
import type { Netlink } from '../linux/netlink.ts'
import type { Wanted } from '../linux/route-lookup.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Finding } from '../runtime/finding.ts'
import type { Logger } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import type { StartProber } from './failover/pulse/messages.ts'

/** How often the agent compares the tables with its decision although nothing has changed. */
export const resyncMs = 30_000

/** Everything that an agent works with. A test or a simulation may replace any part. */
export interface AgentOptions {
  readonly self: string
  readonly client: KubeClient
  readonly datapath: Datapath
  readonly netlink: Netlink
  readonly machine: Machine
  readonly startProber: StartProber
  /** One item each time that the node's devices, addresses or routes may have changed. */
  readonly networkChanges: (signal: AbortSignal) => AsyncIterable<unknown>
  readonly configuration: Configuration
  /** Chained, and the programs keep the ports of the node's stack and those of flows apart. */
  readonly sharesAddress: boolean
  readonly configMap: Readonly<Record<string, string>>
  /** Emptied by a boot. */
  readonly stateDirectory: string
  /** Of the NAT log. */
  readonly logDirectory: string
  /** The folder in which the container runtime keeps the results of CNI plugins. */
  readonly resultCache: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /**
   * Called when the tables are written for the first time, so that pods can start. If it fails, it is called again, and the
   * agent is not ready until it succeeds.
   */
  readonly onReady: () => void
  /** Why pods start without our plugin, or cannot start. One sentence each. */
  readonly pluginProblems: () => readonly string[]
  /** Rules of this node's stack that forwarded packets meet. Without it none are reported. */
  readonly listStackRules?: () => NodeRules
  /** Whether this node's kernel has a route for a packet. Without it no missing route is reported. */
  readonly hasRoute?: (wanted: Wanted) => boolean
  /** Whether this node can do what Sallyport needs. */
  readonly checkNode: () => readonly Finding[]
}
