import type { KubeClient } from '../../kube/client.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import type { PodEvent } from '../cluster/pod-events.ts'
import type { Allocatable } from './containers/downward.ts'
import type { Container, Pod } from './pod-spec.ts'
import type { ContainerRuntime } from './runtime/runtime.ts'

/** The node that a kubelet works for, and what it works with. */
export interface Surroundings {
  readonly nodeName: string
  readonly nodeIP: string
  readonly apiServerHost: string
  readonly allocatable: Allocatable
  /** The CA of the API server that pods reach. */
  readonly authority: string
  readonly client: KubeClient
  readonly clock: Clock
  readonly log: Logger
  readonly runtime: ContainerRuntime
}

/** Reports an Event about a pod, or about one of its containers. */
export type Tell = (pod: Pod, event: PodEvent, container?: Container) => void
