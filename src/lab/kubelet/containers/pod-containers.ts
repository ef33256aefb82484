import { type Container, containersOf, type Pod } from '../pod-spec.ts'
import type { Worker } from '../pod-workers.ts'
import type { Surroundings, Tell } from '../surroundings.ts'
import { bindsOf } from '../volumes/binds.ts'
import { MountProblem, type PodVolumes } from '../volumes/pod-volumes.ts'
import { securityOf, securityProblem } from './confinement.ts'
import { problemOf } from './container-problem.ts'
import { ConfigProblem, expand } from './environment.ts'
import { Environments } from './environments.ts'
import { Probing } from './probing.ts'
import { durationText, restartDelayMs } from './restart-delay.ts'
import {
  containersDue,
  isAlive,
  logFileOf,
  type RunningContainer,
  type RunningPod,
  type RunningPods,
} from './running-pods.ts'
import { terminationBind, terminationMessage } from './termination-message.ts'

interface Pods {
  readonly running: RunningPods
  readonly volumes: PodVolumes
  /** The pod as the API server has it. Undefined if it is gone. */
  readonly podOf: (uid: string) => Pod | undefined
  readonly tell: Tell
  /** A container has ended. */
  readonly onEnd: (uid: string) => void
}

/** Starts, probes, restarts and ends the containers of pods. */
export class PodContainers {
  readonly #surroundings: Surroundings
  readonly #pods: Pods
  readonly #environments: Environments
  readonly probing: Probing

  constructor(surroundings: Surroundings, pods: Pods) {
    this.#surroundings = surroundings
    this.#pods = pods
    this.#environments = new Environments(surroundings)
    this.probing = new Probing(surroundings, pods.tell)
  }

  /** Takes over what an earlier kubelet started. */
  watchAll(): void {
    for (const { uid, containers } of this.#pods.running.all())
      for (const [name, container] of Object.entries(containers)) this.#watch(uid, name, container)
  }

  environmentOf(uid: string, container: string): Readonly<Record<string, string>> {
    return this.#environments.get(uid, container) ?? {}
  }

  forget(uid: string): void {
    this.probing.forget(uid)
    this.#environments.forget(uid)
  }

  /** Starts the containers that must run and do not. The pause after each end grows. */
  async tend(pod: Pod, uid: string, worker: Worker): Promise<void> {
    const { running: pods, volumes } = this.#pods
    let problem: unknown
    for (const container of containersDue(pod, pods.get(uid))) {
      const running = pods.get(uid)
      if (running === undefined) return
      try {
        await this.#tendOne(pod, running, container, worker)
        if (worker.waiting.get(container.name)?.reason !== 'CrashLoopBackOff')
          worker.waiting.delete(container.name)
      } catch (error) {
        this.#noteProblem(pod, container, worker, error)
        problem = error
      }
    }
    if (problem !== undefined) throw problem
    await volumes.mounts(pod)
    worker.failures = 0
    worker.loggedMessage = undefined
  }

  async #tendOne(pod: Pod, running: RunningPod, container: Container, worker: Worker): Promise<void> {
    const present = running.containers[container.name]
    if (present === undefined) return this.#start(pod, running, container)
    if (!isAlive(present)) return this.#restart(pod, running, container, present, worker)
    const { uid, podIPs } = running
    /* An earlier kubelet may have started it. */
    const env =
      this.#environments.get(uid, container.name) ?? (await this.#environments.make(pod, container, podIPs))
    await this.probing.probe(pod, running, container, present, env)
  }

  /** One container cannot be started. The others can. */
  #noteProblem(pod: Pod, container: Container, worker: Worker, error: unknown): void {
    if (error instanceof MountProblem) return
    const { reason, message, events } = problemOf(container, error)
    worker.waiting.set(container.name, { reason, message })
    for (const event of events) this.#pods.tell(pod, event, container)
  }

  async #restart(
    pod: Pod,
    running: RunningPod,
    container: Container,
    present: RunningContainer,
    worker: Worker,
  ): Promise<void> {
    const { clock, runtime } = this.#surroundings
    if (present.ended === undefined)
      this.#noteExit(running.uid, container.name, present, await runtime.exitCode(present))
    const ended = this.#pods.running.get(running.uid)?.containers[container.name] ?? present
    const { restartPolicy = 'Always' } = pod.spec
    if (restartPolicy === 'Never' || (restartPolicy === 'OnFailure' && ended.ended?.code === 0)) return
    const endedMs = Date.parse(ended.ended?.at ?? '') || clock.now()
    const delayMs = restartDelayMs(ended.restarts, endedMs - Date.parse(ended.startedAt))
    if (clock.now() - endedMs >= delayMs) {
      worker.waiting.delete(container.name)
      await this.#start(pod, running, container, ended)
    } else this.#noteBackOff(pod, container, worker, delayMs)
  }

  #noteBackOff(pod: Pod, container: Container, worker: Worker, delayMs: number): void {
    if (worker.waiting.get(container.name)?.reason === 'CrashLoopBackOff') return
    const { name: podName, namespace = 'default', uid } = pod.metadata
    const id = `${podName}_${namespace}(${uid})`
    worker.waiting.set(container.name, {
      reason: 'CrashLoopBackOff',
      message: `back-off ${durationText(delayMs)} restarting failed container=${container.name} pod=${id}`,
    })
    const message = `Back-off restarting failed container ${container.name} in pod ${id}`
    this.#pods.tell(pod, { type: 'Warning', reason: 'BackOff', message }, container)
  }

  async #start(
    pod: Pod,
    running: RunningPod,
    container: Container,
    before?: RunningContainer,
  ): Promise<void> {
    const { runtime } = this.#surroundings
    const tell = (reason: string, message: string): void =>
      this.#pods.tell(pod, { type: 'Normal', reason, message }, container)
    await runtime.requireImage(container)
    tell('Pulled', `Container image "${container.image}" already present on machine`)
    const problem = securityProblem(securityOf(pod, container))
    if (problem !== undefined) throw new ConfigProblem(`${problem} (container: ${container.name})`)
    const env = await this.#environments.make(pod, container, running.podIPs)
    const restarts = before === undefined ? 0 : before.restarts + 1
    const binds = [
      ...bindsOf(pod, container, await this.#pods.volumes.mounts(pod)),
      terminationBind(running.uid, container, restarts),
    ]
    const words = {
      command: container.command?.map((word) => expand(word, env)),
      args: container.args?.map((word) => expand(word, env)),
    }
    const logFile = logFileOf(running.uid, container.name, restarts)
    const started: RunningContainer = {
      ...(await runtime.startContainer({ pod, running, container, restarts, env, binds, logFile, ...words })),
      ...(before === undefined ? {} : { previous: previousOf(before) }),
    }
    this.#pods.running.keepContainer(running, container.name, started)
    this.#watch(running.uid, container.name, started)
    tell('Created', 'Container created')
    tell('Started', 'Container started')
  }

  async endAll(uid: string, graceSeconds: number): Promise<void> {
    const { runtime } = this.#surroundings
    const alive = Object.entries(this.#pods.running.get(uid)?.containers ?? {}).filter(([, each]) =>
      isAlive(each),
    )
    await Promise.all(
      alive.map(async ([name, container]) => {
        await runtime.stopContainer(container, graceSeconds)
        this.#noteExit(uid, name, container, await runtime.exitCode(container))
      }),
    )
  }

  #watch(uid: string, name: string, container: RunningContainer): void {
    if (container.ended === undefined)
      this.#surroundings.runtime.watchContainer(container, (code) =>
        this.#noteExit(uid, name, container, code),
      )
  }

  #noteExit(uid: string, name: string, container: RunningContainer, code: number): void {
    const { running: pods, podOf, onEnd } = this.#pods
    const running = pods.get(uid)
    const known = running?.containers[name]
    if (running === undefined || known?.restarts !== container.restarts || known.ended !== undefined) return
    this.probing.forget(uid, name)
    const pod = podOf(uid)
    const spec = pod === undefined ? undefined : containersOf(pod).find((each) => each.name === name)
    const logFile = logFileOf(uid, name, container.restarts)
    const { decodeLog } = this.#surroundings.runtime
    const described = spec ?? { name, image: '' }
    const message = terminationMessage(uid, described, container.restarts, code, logFile, decodeLog)
    const ended = { code, at: new Date().toISOString(), message }
    pods.keepContainer(running, name, { ...known, ended })
    onEnd(uid)
  }
}

function previousOf({ id, process, startedAt, ended }: RunningContainer) {
  return {
    ...(id === undefined ? {} : { id }),
    process,
    startedAt,
    ...(ended === undefined ? {} : { ended }),
  }
}
