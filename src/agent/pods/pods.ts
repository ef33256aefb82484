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

/** This node's pods. The agent wires them, or in chained mode another plugin does. */
export interface Pods {
  /** One sentence each. */
  readonly problems: readonly string[]
  handle(request: CniRequest): Promise<CniResult | undefined>
  /** Finds what happened to pods while no agent ran. */
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

/** What pods need from the rest of the agent. */
interface PodsContext {
  readonly attachments: Attachments
  readonly node: () => WorldNode | undefined
  readonly pod: (namespace: string, name: string) => ObservedPod | undefined
  /** The MTU of the tunnel device. Undefined until the device exists. */
  readonly mtu: () => number | undefined
  /** Resolves when the tables are written with everything that is known now. */
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
