import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isRunning, type ProcessId } from '../machines/machine.ts'
import type { Container, Pod } from './pod-spec.ts'
import { stateDirectory } from './state-directory.ts'

/** What runs of a pod, on disk, so that a kubelet that is started again takes over what the last one started. */
export interface RunningPod {
  readonly uid: string
  readonly namespace: string
  readonly name: string
  /** As its runtime knows it; absent where the runtime keeps nothing of the pod. */
  readonly sandboxId?: string
  readonly podIPs: readonly string[]
  readonly startedAt: string
  readonly containers: Readonly<Record<string, RunningContainer>>
}

export interface RunningContainer {
  /** As its runtime knows it; absent where a container is no more than its process. */
  readonly id?: string
  readonly process: ProcessId
  readonly startedAt: string
  readonly restarts: number
  readonly ended?: Ended
  /** The one before it, which its restart has replaced. */
  readonly previous?: Omit<RunningContainer, 'restarts' | 'previous'>
}

interface Ended {
  readonly code: number
  readonly at: string
  /** What it left to say. */
  readonly message?: string
}

const directory = join(stateDirectory, 'pods')

export function loadRunningPods(): Map<string, RunningPod> {
  mkdirSync(directory, { recursive: true })
  const pods = readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as RunningPod)
  return new Map(pods.map((pod) => [pod.uid, pod]))
}

export function saveRunningPod(pod: RunningPod): void {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, `${pod.uid}.json`), JSON.stringify(pod))
}

export const logDirectory = (uid: string): string => join(stateDirectory, 'logs', uid)

export function forgetRunningPod(uid: string): void {
  rmSync(join(directory, `${uid}.json`), { force: true })
  rmSync(logDirectory(uid), { recursive: true, force: true })
  rmSync(join(stateDirectory, 'termination', uid), { recursive: true, force: true })
}

export function isAlive(container: RunningContainer): boolean {
  return (
    container.ended === undefined &&
    existsSync(`/proc/${container.process.pid}`) &&
    isRunning(container.process)
  )
}

/** What is to run now: the first init container that has not ended well, or else what the pod is for. */
export function containersDue({ spec }: Pod, running: RunningPod | undefined): readonly Container[] {
  const isDone = ({ name }: Container): boolean => running?.containers[name]?.ended?.code === 0
  const next = (spec.initContainers ?? []).find((container) => !isDone(container))
  return next === undefined ? spec.containers : [next]
}
