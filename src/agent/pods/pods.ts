import type { Datapath } from '../../datapath/datapath.ts'
import type { WorldNode } from '../../decide/world.ts'
import type { Configuration } from '../../install/configuration.ts'
import type { Machine } from '../../linux/machine.ts'
import type { Netlink } from '../../linux/netlink.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { CniRequest, CniResult } from '../api/local-api.ts'
import type { NodeDevice } from '../node/node-network.ts'
import type { ObservedPod } from '../world.ts'
import type { Attachment, Attachments } from './attachments.ts'
import { ChainedPods } from './chained-pods.ts'
import { PodNetwork } from './pod-network.ts'

/** This node's pods: wired by the agent, or in chained mode by another plugin. */
export interface Pods {
  /** One sentence each. */
  readonly problems: readonly string[]
  handle(request: CniRequest): Promise<CniResult | undefined>
  /** Notes what happened to pods without the agent. */
  observe(devices: readonly NodeDevice[]): void
}

interface PodsOptions {
  readonly datapath: Datapath
  readonly netlink: Netlink
  readonly machine: Machine
  readonly clock: Clock
  readonly configuration: Configuration
  readonly resultCache: string
}

/** What the rest of the agent knows. */
interface PodsContext {
  readonly attachments: Attachments
  readonly node: () => WorldNode | undefined
  readonly pod: (namespace: string, name: string) => ObservedPod | undefined
  /** Of the tunnel's device; undefined until there is one. */
  readonly mtu: () => number | undefined
  /** Resolves when tables that hold everything known now are written. */
  readonly settle: () => Promise<void>
}

export function createPods(options: PodsOptions, context: PodsContext): Pods {
  const { configuration } = options
  const isKnown = ({ namespace, name, uid }: Attachment['pod']): boolean => {
    const pod = context.pod(namespace, name)
    return pod !== undefined && (uid === '' || pod.uid === uid)
  }
  const podCIDRs = () => context.node()?.podCIDRs
  return configuration.isChained
    ? new ChainedPods({ ...options, ...context, isKnown, networkPolicies: configuration.networkPolicies })
    : new PodNetwork({ ...options, ...context, isKnown, podCIDRs })
}
