import type { KubeObject } from '../../kube/client.ts'
import { lastMessage } from './log-lines.ts'

interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string }
  readonly running?: object
  readonly terminated?: {
    readonly exitCode?: number
    readonly signal?: number
    readonly reason?: string
    readonly message?: string
  }
}

interface ContainerStatus {
  readonly name: string
  readonly ready: boolean
  readonly restartCount?: number
  readonly state?: ContainerState
  readonly lastState?: ContainerState
}

export interface TroubledPod extends KubeObject {
  readonly spec: { readonly nodeName?: string }
  readonly status?: {
    readonly phase?: string
    readonly reason?: string
    readonly message?: string
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason?: string
      readonly message?: string
    }[]
    readonly initContainerStatuses?: readonly ContainerStatus[]
    readonly containerStatuses?: readonly ContainerStatus[]
  }
}

export interface PodEvent extends KubeObject {
  readonly type?: string
  readonly reason?: string
  readonly message?: string
  readonly lastTimestamp?: string | null
  readonly eventTime?: string | null
  readonly series?: { readonly lastObservedTime?: string } | null
  readonly involvedObject?: { readonly kind?: string; readonly uid?: string; readonly name?: string }
}

export function isPodReady({ metadata, status }: TroubledPod): boolean {
  return (
    metadata.deletionTimestamp === undefined &&
    (status?.conditions ?? []).some(({ type, status: value }) => type === 'Ready' && value === 'True')
  )
}

/**
 * Why a pod is not ready, from its status and its Events. Undefined if it is ready. A container's state names only a consequence
 * (`ContainerCreating`, `CrashLoopBackOff`). Its last termination and the last Warning event name the cause.
 */
export function explainPod(pod: TroubledPod, events: readonly PodEvent[]): string | undefined {
  if (isPodReady(pod)) return undefined
  const { metadata, spec, status = {} } = pod
  const where = `pod ${metadata.name} ${spec.nodeName === undefined ? 'without a node' : `on ${spec.nodeName}`}`
  const parts = [
    ...(metadata.deletionTimestamp === undefined ? [] : ['terminating']),
    ...(status.reason === undefined ? [] : [sentence(status.reason, status.message)]),
    ...schedulingTrouble(pod),
    ...containerTrouble(pod),
  ]
  const event = lastWarning(pod, events)
  if (event?.reason !== undefined && !parts.some((part) => repeats(part, event)))
    parts.push(sentence(event.reason, event.message))
  return `${where}: ${parts.join('; ') || (status.phase ?? 'Pending')}`
}

/** A few lines on a terminal, and longer than the kubelet messages seen so far. */
const maxMessageLength = 400

function sentence(reason: string, message: string | undefined): string {
  const text = message?.trim().replace(/\s+/g, ' ') ?? ''
  if (text === '') return reason
  return `${reason}: ${text.length > maxMessageLength ? `${text.slice(0, maxMessageLength)}…` : text}`
}

/** For each failure, kubelets add an Event that repeats the container's state in almost the same words. */
function repeats(part: string, { message = '' }: PodEvent): boolean {
  return message !== '' && part.includes(message.replace(/^Error: /, '').trim())
}

function schedulingTrouble({ spec, status }: TroubledPod): string[] {
  if (spec.nodeName !== undefined) return []
  const scheduled = status?.conditions?.find(({ type }) => type === 'PodScheduled')
  if (scheduled?.status !== 'False') return []
  return [sentence(scheduled.reason ?? 'Unschedulable', scheduled.message)]
}

/** Explains the first container that is not ready. The others wait for it, or have the same cause. */
function containerTrouble(pod: TroubledPod): string[] {
  const container = troubledContainer(pod)
  if (container === undefined) return []
  const { name, state = {}, lastState, restartCount = 0 } = container
  const last = lastState?.terminated
  const { waiting } = state
  return [
    waiting !== undefined
      ? `container ${name} is waiting: ${sentence(waiting.reason ?? 'no reason given', waiting.message)}`
      : state.terminated !== undefined
        ? `container ${name} has terminated with ${describeTermination(state.terminated)}`
        : `container ${name} is running but not ready`,
    ...(last === undefined
      ? []
      : [
          `before that (${restartCount} restarts) it terminated with ${describeTermination(last.message === waiting?.message ? { ...last, message: '' } : last)}`,
        ]),
  ]
}

export function troubledContainer({ status }: TroubledPod): ContainerStatus | undefined {
  const init = status?.initContainerStatuses?.find(
    ({ ready, state }) => !ready && state?.terminated?.exitCode !== 0,
  )
  return init ?? status?.containerStatuses?.find(({ ready }) => !ready)
}

/** With `FallbackToLogsOnError`, the message is the end of the container's log. */
function describeTermination({
  exitCode,
  signal,
  reason,
  message = '',
}: NonNullable<ContainerState['terminated']>): string {
  const code = signal ? `signal ${signal}` : `exit code ${exitCode ?? 'unknown'}`
  return sentence(
    reason === undefined || reason === 'Error' ? code : `${code} (${reason})`,
    lastMessage(message),
  )
}

/** Events that no longer count: a pod on a node was scheduled, and a pod with a running container has its network and its volumes. */
const outdated = {
  byNode: /^FailedScheduling$/,
  byRunning: /^Failed(CreatePodSandBox|Mount|AttachVolume|Scheduling)$/,
}

/** `Back-off restarting failed container` only repeats the container's state. */
function lastWarning(
  { metadata, spec, status }: TroubledPod,
  events: readonly PodEvent[],
): PodEvent | undefined {
  const isRunning = status?.containerStatuses?.some(({ state }) => state?.running !== undefined) ?? false
  const isOutdated = (reason: string): boolean =>
    reason === 'BackOff' ||
    (spec.nodeName !== undefined && outdated.byNode.test(reason)) ||
    (isRunning && outdated.byRunning.test(reason))
  return events
    .filter(({ type, involvedObject }) => type === 'Warning' && involvedObject?.uid === metadata.uid)
    .filter(({ reason = '' }) => !isOutdated(reason))
    .toSorted((a, b) => timeOf(a) - timeOf(b))
    .at(-1)
}

function timeOf({ series, lastTimestamp, eventTime, metadata }: PodEvent): number {
  const text = series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? metadata.creationTimestamp
  const time = Date.parse(text ?? '')
  return Number.isNaN(time) ? 0 : time
}
