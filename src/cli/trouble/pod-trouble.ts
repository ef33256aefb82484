import type { KubeObject } from '../../kube/client.ts'
import { lastWords } from './log-lines.ts'

export interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string }
  readonly running?: object
  readonly terminated?: {
    readonly exitCode?: number
    readonly signal?: number
    readonly reason?: string
    readonly message?: string
  }
}

export interface ContainerStatus {
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
 * Why a pod is not ready, as far as its status and its Events say; undefined if it is ready. Most telling first: a container's state names
 * a consequence (`ContainerCreating`, `CrashLoopBackOff`), its last end and the last Warning event name the cause.
 */
export function explainPod(pod: TroubledPod, events: readonly PodEvent[]): string | undefined {
  if (isPodReady(pod)) return undefined
  const { metadata, spec, status = {} } = pod
  const where = `pod ${metadata.name} on ${spec.nodeName ?? 'no node yet'}`
  const parts = [
    ...(metadata.deletionTimestamp === undefined ? [] : ['is being deleted']),
    ...(status.reason === undefined ? [] : [sentence(status.reason, status.message)]),
    ...schedulingTrouble(pod),
    ...containerTrouble(pod),
  ]
  const event = lastWarning(pod, events)
  if (event?.reason !== undefined && !parts.some((part) => repeats(part, event)))
    parts.push(sentence(event.reason, event.message))
  return `${where}: ${parts.join('; ') || (status.phase ?? 'Pending')}`
}

/** A line on a terminal, and more than any kubelet's message that was met. */
const maxMessageLength = 400

function sentence(reason: string, message: string | undefined): string {
  const text = message?.trim().replace(/\s+/g, ' ') ?? ''
  if (text === '') return reason
  return `${reason}: ${text.length > maxMessageLength ? `${text.slice(0, maxMessageLength)}…` : text}`
}

/** Kubelets add one event for each failure that the state already tells, in almost the same words. */
function repeats(part: string, { message = '' }: PodEvent): boolean {
  return message !== '' && part.includes(message.replace(/^Error: /, '').trim())
}

function schedulingTrouble({ spec, status }: TroubledPod): string[] {
  if (spec.nodeName !== undefined) return []
  const scheduled = status?.conditions?.find(({ type }) => type === 'PodScheduled')
  if (scheduled?.status !== 'False') return []
  return [sentence(scheduled.reason ?? 'Unschedulable', scheduled.message)]
}

/** Of the first container that is not ready: those after it wait for it, or have the same cause. */
function containerTrouble(pod: TroubledPod): string[] {
  const container = troubledContainer(pod)
  if (container === undefined) return []
  const { name, state = {}, lastState, restartCount = 0 } = container
  const last = lastState?.terminated
  const { waiting } = state
  return [
    waiting !== undefined
      ? `container ${name} waits: ${sentence(waiting.reason ?? 'no reason given', waiting.message)}`
      : state.terminated !== undefined
        ? `container ${name} has ended with ${describeEnd(state.terminated)}`
        : `container ${name} runs, but is not ready`,
    ...(last === undefined
      ? []
      : [
          `it ended before (${restartCount} restarts), the last time with ${describeEnd(last.message === waiting?.message ? { ...last, message: '' } : last)}`,
        ]),
  ]
}

export function troubledContainer({ status }: TroubledPod): ContainerStatus | undefined {
  const init = status?.initContainerStatuses?.find(
    ({ ready, state }) => !ready && state?.terminated?.exitCode !== 0,
  )
  return init ?? status?.containerStatuses?.find(({ ready }) => !ready)
}

/** The message is what the container wrote last, if its pod says `FallbackToLogsOnError`. */
function describeEnd({
  exitCode,
  signal,
  reason,
  message = '',
}: NonNullable<ContainerState['terminated']>): string {
  const code = signal ? `signal ${signal}` : `exit code ${exitCode ?? 'unknown'}`
  return sentence(
    reason === undefined || reason === 'Error' ? code : `${code} (${reason})`,
    lastWords(message),
  )
}

/** Of what was overcome: a pod that has a node was scheduled, and one with a running container has its network and its volumes. */
const overcome = {
  byNode: /^FailedScheduling$/,
  byRunning: /^Failed(CreatePodSandBox|Mount|AttachVolume|Scheduling)$/,
}

/** `Back-off restarting failed container` says nothing that the container's state does not. */
function lastWarning(
  { metadata, spec, status }: TroubledPod,
  events: readonly PodEvent[],
): PodEvent | undefined {
  const isRunning = status?.containerStatuses?.some(({ state }) => state?.running !== undefined) ?? false
  const isOver = (reason: string): boolean =>
    reason === 'BackOff' ||
    (spec.nodeName !== undefined && overcome.byNode.test(reason)) ||
    (isRunning && overcome.byRunning.test(reason))
  return events
    .filter(({ type, involvedObject }) => type === 'Warning' && involvedObject?.uid === metadata.uid)
    .filter(({ reason = '' }) => !isOver(reason))
    .toSorted((a, b) => timeOf(a) - timeOf(b))
    .at(-1)
}

function timeOf({ series, lastTimestamp, eventTime, metadata }: PodEvent): number {
  const text = series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? metadata.creationTimestamp
  const time = Date.parse(text ?? '')
  return Number.isNaN(time) ? 0 : time
}
