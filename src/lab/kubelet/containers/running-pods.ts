import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isRunning, type ProcessId } from '../../machines/machine.ts'
import type { Container, Pod } from '../pod-spec.ts'
import { stateDirectory } from '../state-directory.ts'

/** What runs of a pod. It is on disk, so that the next kubelet takes over what this one started. */
export interface RunningPod {
  readonly uid: string
  readonly namespace: string
  readonly name: string
  /** The runtime's id. Absent if the runtime keeps nothing of the pod. */
  readonly sandboxId?: string
  readonly podIPs: readonly string[]
  readonly startedAt: string
  readonly containers: Readonly<Record<string, RunningContainer>>
}

export interface RunningContainer {
  /** The runtime's id. Absent if a container is only a process. */
  readonly id?: string
  readonly process: ProcessId
  readonly startedAt: string
  readonly restarts: number
  readonly ended?: Ended
  /** The container that this one replaced when it restarted. */
  readonly previous?: Omit<RunningContainer, 'restarts' | 'previous'>
}

interface Ended {
  readonly code: number
  readonly at: string
  /** Its termination message. */
  readonly message?: string
}

const directory = join(stateDirectory, 'pods')

export const logDirectory = (uid: string): string => join(stateDirectory, 'logs', uid)

/** A restart begins a new log. The log before it can still be read. */
export const logFileOf = (uid: string, container: string, restarts: number): string =>
  join(logDirectory(uid), `${container}_${restarts}.log`)

/** The pods of this node that run, in memory and on disk. */
export class RunningPods {
  readonly #pods = load()

  get(uid: string): RunningPod | undefined {
    return this.#pods.get(uid)
  }

  find(namespace: string, name: string): RunningPod | undefined {
    return this.all().find((pod) => pod.namespace === namespace && pod.name === name)
  }

  all(): readonly RunningPod[] {
    return [...this.#pods.values()]
  }

  keep(pod: RunningPod): void {
    this.#pods.set(pod.uid, pod)
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, `${pod.uid}.json`), JSON.stringify(pod))
  }

  keepContainer(pod: RunningPod, name: string, container: RunningContainer): void {
    const now = this.#pods.get(pod.uid) ?? pod
    this.keep({ ...now, containers: { ...now.containers, [name]: container } })
  }

  forget(uid: string): void {
    this.#pods.delete(uid)
    rmSync(join(directory, `${uid}.json`), { force: true })
    rmSync(logDirectory(uid), { recursive: true, force: true })
    rmSync(join(stateDirectory, 'termination', uid), { recursive: true, force: true })
  }
}

function load(): Map<string, RunningPod> {
  mkdirSync(directory, { recursive: true })
  const pods = readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as RunningPod)
  return new Map(pods.map((pod) => [pod.uid, pod]))
}

export function isAlive(container: RunningContainer): boolean {
  return (
    container.ended === undefined &&
    existsSync(`/proc/${container.process.pid}`) &&
    isRunning(container.process)
  )
}

/** The containers that must run now: the first init container that has not succeeded, or else all others. */
export function containersDue({ spec }: Pod, running: RunningPod | undefined): readonly Container[] {
  const isDone = ({ name }: Container): boolean => running?.containers[name]?.ended?.code === 0
  const next = (spec.initContainers ?? []).find((container) => !isDone(container))
  return next === undefined ? spec.containers : [next]
}
