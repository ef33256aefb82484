import type { Datapath } from '../datapath/datapath.ts'
import type { NodeRules } from '../decide/status/stack-rules.ts'
import type { Configuration } from '../install/configuration.ts'
import type { KubeClient } from '../kube/client.ts'
import type { Machine } from '../linux/machine.ts'
import type { Netlink } from '../linux/netlink.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Finding } from '../runtime/finding.ts'
import type { Logger } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import type { StartProber } from './failover/pulse/messages.ts'

/** What an agent works with. In a test or a simulation, each part may be another. */
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
  readonly configMap: Readonly<Record<string, string>>
  readonly stateDirectory: string
  /** Where the container runtime keeps what CNI plugins made. */
  readonly resultCache: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** The tables are written for the first time: pods can come. Called again if it fails, and until then nothing is ready. */
  readonly onReady: () => void
  /** What keeps pods from coming to us, one sentence each. */
  readonly pluginProblems: () => readonly string[]
  /** Rules of this node's stack that forwarded packets meet. Without it none are reported. */
  readonly listStackRules?: () => NodeRules
  /** Whether this node can do what Sallyport needs. */
  readonly checkNode: () => readonly Finding[]
}
