import { isSameJson } from '../cluster/same-json.ts'
import { containersDue, type RunningContainer, type RunningPod } from './containers/running-pods.ts'
import type { Container, ContainerStatus, Pod, PodStatus } from './pod-spec.ts'

export interface Waiting {
  readonly reason: string
  readonly message?: string
}

interface StatusParts {
  readonly hostIP: string
  /** Of the runtime, before a container's name. */
  readonly scheme: string
  readonly running: RunningPod | undefined
  /** By container: why it does not run, by the reason that kubectl shows. */
  readonly waiting: ReadonlyMap<string, Waiting>
  /** It is being taken away: what does not run now never will. */
  readonly isOver: boolean
  readonly isReady: (container: Container) => boolean
  readonly hasStarted: (container: Container) => boolean
}

const time = (iso: string): string => iso.replace(/\.\d+Z/, 'Z')

/** A pod's status as a real kubelet writes it, and as kubectl, controllers and our own commands read it. */
export function podStatus(pod: Pod, parts: StatusParts): PodStatus {
  const { running, hostIP } = parts
  const { initContainers = [], containers } = pod.spec
  const initial = { reason: initContainers.length > 0 ? 'PodInitializing' : 'ContainerCreating' }
  const statusOf = (container: Container): ContainerStatus => containerStatus(container, parts, initial)
  const initContainerStatuses = initContainers.map((container) => ({
    ...statusOf(container),
    /* An init container is ready when it has done its work. */
    ready: running?.containers[container.name]?.ended?.code === 0,
  }))
  const containerStatuses = containers.map(statusOf)
  const podIPs = running?.podIPs ?? []
  const phase = phaseOf(pod, parts)
  return {
    phase,
    conditions: conditionsOf(pod, parts, phase, initContainerStatuses, containerStatuses),
    hostIP,
    hostIPs: [{ ip: hostIP }],
    ...(podIPs[0] === undefined ? {} : { podIP: podIPs[0], podIPs: podIPs.map((ip) => ({ ip })) }),
    startTime: pod.status?.startTime ?? time(running?.startedAt ?? new Date().toISOString()),
    ...(initContainers.length === 0 ? {} : { initContainerStatuses }),
    containerStatuses,
  }
}

/** Whether writing the status would change nothing. The API server's own fields, such as qosClass, stay as they are. */
export const isWritten = (status: PodStatus, present: PodStatus | undefined): boolean =>
  isSameJson({ ...present, ...status }, present)

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason?: string
  readonly message?: string
  readonly lastTransitionTime?: string
}

function conditionsOf(
  pod: Pod,
  { running, isOver: isEnding }: StatusParts,
  phase: string,
  initStatuses: readonly ContainerStatus[],
  statuses: readonly ContainerStatus[],
): object[] {
  const namesOf = (list: readonly ContainerStatus[]): string => `[${list.map(({ name }) => name).join(' ')}]`
  const unready = statuses.filter(({ ready }) => !ready)
  const incomplete = initStatuses.filter(({ ready }) => !ready)
  const hasEnded = willNotRun(pod, running, isEnding)
  const ended = hasEnded === 'Failed' ? { reason: 'PodFailed' } : { reason: 'PodCompleted' }
  const waiting = {
    reason: 'ContainersNotReady',
    message: `containers with unready status: ${namesOf(unready)}`,
  }
  const readiness =
    hasEnded === undefined ? { isTrue: unready.length === 0, why: waiting } : { isTrue: false, why: ended }
  const initialized = {
    isTrue: incomplete.length === 0,
    why: {
      reason: 'ContainersNotInitialized',
      message: `containers with incomplete status: ${namesOf(incomplete)}`,
    },
  }
  const isOver = phase === 'Succeeded' || phase === 'Failed'
  const own = [
    condition(pod, 'PodReadyToStartContainers', running !== undefined && !isOver),
    {
      ...condition(pod, 'Initialized', initialized.isTrue, initialized.why),
      ...(initialized.isTrue && hasEnded === 'Succeeded' ? { reason: 'PodCompleted' } : {}),
    },
    condition(pod, 'Ready', readiness.isTrue, readiness.why),
    condition(pod, 'ContainersReady', readiness.isTrue, readiness.why),
    condition(pod, 'PodScheduled', true),
  ]
  const types = new Set(own.map(({ type }) => type))
  const others = ((pod.status?.conditions ?? []) as Condition[]).filter(({ type }) => !types.has(type))
  return [...own, ...others]
}

/** A condition keeps its time while its status stays. */
function condition(pod: Pod, type: string, isTrue: boolean, why: object = {}): Condition {
  const status = isTrue ? 'True' : 'False'
  const before = ((pod.status?.conditions ?? []) as Condition[]).find((each) => each.type === type)
  const since = before?.status === status ? before.lastTransitionTime : undefined
  return {
    type,
    status,
    ...{ lastProbeTime: null },
    lastTransitionTime: since ?? time(new Date().toISOString()),
    ...(isTrue ? {} : why),
  }
}

function isInitialized(pod: Pod, running: RunningPod | undefined): boolean {
  return running !== undefined && containersDue(pod, running) === pod.spec.containers
}

function hasBegun(running: RunningPod | undefined, containers: readonly Container[]): boolean {
  return containers.some(({ name }) => running?.containers[name] !== undefined)
}

/** How the pod has ended, or will be seen to have; undefined while something runs or is started again. */
function willNotRun(
  pod: Pod,
  running: RunningPod | undefined,
  isOver: boolean,
): 'Succeeded' | 'Failed' | undefined {
  const { initContainers = [], containers, restartPolicy = 'Always' } = pod.spec
  const endOf = ({ name }: Container): RunningContainer['ended'] => running?.containers[name]?.ended
  const isLast = (container: Container): boolean => {
    const ended = endOf(container)
    if (ended === undefined) return false
    if (isOver) return true
    return restartPolicy === 'Never' || (restartPolicy === 'OnFailure' && ended.code === 0)
  }
  if (initContainers.some((each) => isLast(each) && endOf(each)?.code !== 0)) return 'Failed'
  if (!containers.every(isLast)) return undefined
  return containers.every((each) => endOf(each)?.code === 0) ? 'Succeeded' : 'Failed'
}

function phaseOf(pod: Pod, { running, isOver }: StatusParts): string {
  const end = willNotRun(pod, running, isOver)
  if (end !== undefined) return end
  if (isOver) return 'Failed'
  if (!isInitialized(pod, running) || !hasBegun(running, pod.spec.containers)) return 'Pending'
  return 'Running'
}

const imageId = (image: string): string => `lab/${image}`

function containerStatus(
  spec: Container,
  { running, scheme, waiting, isOver, isReady, hasStarted }: StatusParts,
  initial: Waiting,
): ContainerStatus {
  const { name, image } = spec
  const container = running?.containers[name]
  const why = waiting.get(name)
  const common = { name, image, restartCount: container?.restarts ?? 0 }
  if (container === undefined)
    return {
      ...{ ...common, imageID: '', ready: false, started: false, lastState: {} },
      state: isOver ? { terminated: neverSeen } : { waiting: why ?? initial },
    }
  const containerID = containerIdOf(scheme, container)
  const known = { ...common, imageID: imageId(image), containerID }
  const { previous } = container
  const lastState = previous === undefined ? {} : { terminated: terminated(scheme, previous) }
  if (container.ended === undefined)
    return {
      ...known,
      ready: hasStarted(spec) && isReady(spec),
      started: hasStarted(spec),
      state: { running: { startedAt: time(container.startedAt) } },
      lastState,
    }
  const ended = terminated(scheme, container)
  /* While it waits for its next start, how it ended is its last state. */
  if (why !== undefined)
    return {
      ...known,
      ready: false,
      started: false,
      state: { waiting: why },
      lastState: { terminated: ended },
    }
  return { ...known, ready: false, started: false, state: { terminated: ended }, lastState }
}

const neverSeen = {
  exitCode: 137,
  reason: 'ContainerStatusUnknown',
  message: 'The container could not be located when the pod was terminated',
  startedAt: null,
  finishedAt: null,
}

type Known = Omit<RunningContainer, 'restarts' | 'previous'>

const containerIdOf = (scheme: string, { id, process }: Known): string => `${scheme}://${id ?? process.pid}`

function terminated(scheme: string, container: Known): object {
  const { startedAt, ended } = container
  const { code, at, message } = ended ?? { code: 137, at: new Date().toISOString() }
  return {
    exitCode: code,
    reason: code === 0 ? 'Completed' : 'Error',
    ...(message === undefined || message === '' ? {} : { message }),
    startedAt: time(startedAt),
    finishedAt: time(at),
    containerID: containerIdOf(scheme, container),
  }
}
