import { containersDue, isAlive, type RunningPod } from './containers.ts'
import type { Container, ContainerStatus, Pod, PodStatus } from './pod-spec.ts'

export interface StatusParts {
  readonly hostIP: string
  readonly running: RunningPod | undefined
  /** Why the pod does not run yet, by the reason that kubectl shows. */
  readonly waiting: { readonly reason: string; readonly message: string } | undefined
  readonly isReady: (container: string) => boolean
}

const time = (iso: string): string => iso.replace(/\.\d+Z/, 'Z')

/** A pod's status as the API server and kubectl want it. */
export function podStatus(pod: Pod, parts: StatusParts): PodStatus {
  const { running, hostIP } = parts
  const statusOf = ({ name, image }: Container): ContainerStatus => containerStatus(name, image, parts)
  const containerStatuses = pod.spec.containers.map(statusOf)
  const isReady = running !== undefined && containerStatuses.every(({ ready }) => ready)
  const condition = (type: string, isTrue: boolean): object => ({
    type,
    status: isTrue ? 'True' : 'False',
    lastProbeTime: null,
    lastTransitionTime: previousTime(pod, type, isTrue) ?? time(new Date().toISOString()),
  })
  const podIPs = running?.podIPs ?? []
  return {
    phase: phaseOf(pod, running),
    hostIP,
    ...(podIPs[0] === undefined ? {} : { podIP: podIPs[0], podIPs: podIPs.map((ip) => ({ ip })) }),
    ...(running === undefined ? {} : { startTime: time(running.startedAt) }),
    conditions: [
      condition('PodScheduled', true),
      condition('Initialized', isInitialized(pod, running)),
      condition('ContainersReady', isReady),
      condition('Ready', isReady),
    ],
    ...(pod.spec.initContainers === undefined
      ? {}
      : { initContainerStatuses: pod.spec.initContainers.map(statusOf) }),
    containerStatuses,
  }
}

function isInitialized(pod: Pod, running: RunningPod | undefined): boolean {
  return running !== undefined && containersDue(pod, running) === pod.spec.containers
}

/** A condition keeps its time while its status stays. */
function previousTime(pod: Pod, type: string, isTrue: boolean): string | undefined {
  const conditions = (pod.status?.conditions ?? []) as {
    type: string
    status: string
    lastTransitionTime: string
  }[]
  return conditions.find((each) => each.type === type && each.status === (isTrue ? 'True' : 'False'))
    ?.lastTransitionTime
}

function phaseOf(pod: Pod, running: RunningPod | undefined): string {
  if (running === undefined || !isInitialized(pod, running)) return 'Pending'
  const containers = pod.spec.containers.flatMap(({ name }) => running.containers[name] ?? [])
  if (pod.spec.restartPolicy === 'Always' || containers.some(isAlive) || containers.length === 0)
    return 'Running'
  if (containers.every(({ ended }) => ended?.code === 0)) return 'Succeeded'
  return pod.spec.restartPolicy === 'OnFailure' ? 'Running' : 'Failed'
}

function containerStatus(
  name: string,
  image: string,
  { running, waiting, isReady }: StatusParts,
): ContainerStatus {
  const container = running?.containers[name]
  const common = { name, image, imageID: image, restartCount: container?.restarts ?? 0, lastState: {} }
  if (container === undefined)
    return {
      ...common,
      ready: false,
      started: false,
      state: { waiting: waiting ?? { reason: 'ContainerCreating' } },
    }
  const containerID = `sallyport://${container.process.pid}`
  if (isAlive(container))
    return {
      ...common,
      containerID,
      ready: isReady(name),
      started: true,
      state: { running: { startedAt: time(container.startedAt) } },
    }
  const { code, at } = container.ended ?? { code: 137, at: new Date().toISOString() }
  const terminated = {
    exitCode: code,
    reason: code === 0 ? 'Completed' : 'Error',
    startedAt: time(container.startedAt),
    finishedAt: time(at),
  }
  return { ...common, containerID, ready: false, started: false, state: { terminated } }
}
