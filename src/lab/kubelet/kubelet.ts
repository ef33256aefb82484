import { join } from 'node:path'
import type { KubeClient, Resource } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { Mirror } from '../../kube/mirror.ts'
import { backoffMs } from '../../runtime/backoff.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import { EventRecorder } from '../event-recorder.ts'
import { apiServerPort } from '../layout.ts'
import type { PodEvent } from '../pod-events.ts'
import { isSameJson } from '../same-json.ts'
import { findNetwork } from './cni.ts'
import { securityOf, securityProblem } from './confinement.ts'
import { problemOf } from './container-problem.ts'
import {
  containersDue,
  forgetRunningPod,
  isAlive,
  loadRunningPods,
  logDirectory,
  type RunningContainer,
  type RunningPod,
  saveRunningPod,
} from './containers.ts'
import type { Allocatable } from './downward.ts'
import { ConfigProblem, environmentOf, expand } from './environment.ts'
import { type Container, containersOf, type Pod, type Probe } from './pod-spec.ts'
import { eagerPeriodMs, failureText, type ProbeKind, Probes, type ProbeTarget } from './probes.ts'
import { durationText, restartDelayMs } from './restart-delay.ts'
import type { ContainerRuntime } from './runtime/runtime.ts'
import { stateDirectory } from './state-directory.ts'
import { podStatus, type Waiting } from './status.ts'
import type { ContainerHandle } from './streams.ts'
import { terminationBind, terminationMessage } from './termination-message.ts'
import { bindsOf } from './volumes/binds.ts'
import { MountProblem, PodVolumes } from './volumes/pod-volumes.ts'

interface KubeletOptions {
  readonly nodeName: string
  readonly nodeIP: string
  readonly apiServerHost: string
  readonly allocatable: Allocatable
  /** Of the API server that pods reach. */
  readonly authority: string
  readonly client: KubeClient
  readonly clock: Clock
  readonly log: Logger
  readonly runtime: ContainerRuntime
}

interface Worker {
  isBusy: boolean
  isPending: boolean
  /** A container is not ready yet, and is asked again before long. */
  isEager: boolean
  failures: number
  retryAtMs: number
  /** By container: why it does not run. */
  readonly waiting: Map<string, Waiting>
  /** What was logged last: the same again would say nothing. */
  loggedMessage: string | undefined
}

/** Its network is not there: no container of it can be. */
class SandboxProblem extends Error {}

const lookAgainMs = 1000

/** Runs this node's pods: what the API server lists is made so, one worker a pod. */
export class Kubelet {
  readonly #options: KubeletOptions
  readonly #pods: Resource<Pod>
  readonly #mirror: Mirror<Pod, Pod>
  readonly #running = loadRunningPods()
  readonly #workers = new Map<string, Worker>()
  readonly #probes = new Probes()
  readonly #environments = new Map<string, Readonly<Record<string, string>>>()
  readonly #volumes: PodVolumes
  readonly #events: EventRecorder

  constructor(options: KubeletOptions) {
    const { client, nodeName, clock, log } = options
    this.#options = options
    this.#events = new EventRecorder(client, { component: 'kubelet', host: nodeName })
    this.#volumes = new PodVolumes({
      ...options,
      directory: join(stateDirectory, 'volumes'),
      onChange: () => this.#lookAtAll(),
    })
    this.#pods = client.resource<Pod>(coreResource('pods', true))
    this.#mirror = new Mirror<Pod, Pod>(this.#pods, {
      fieldSelector: `spec.nodeName=${nodeName}`,
      clock,
      log,
      trim: (pod) => pod,
      onChange: () => this.#lookAtAll(),
    })
  }

  async start(signal: AbortSignal): Promise<void> {
    for (const { uid, containers } of this.#running.values())
      for (const [name, container] of Object.entries(containers)) this.#watchContainer(uid, name, container)
    const timer = setInterval(() => this.#lookAtAll(), lookAgainMs)
    try {
      await this.#mirror.start(signal)
    } finally {
      clearInterval(timer)
    }
  }

  find(namespace: string, pod: string, container: string): ContainerHandle | undefined {
    const running = [...this.#running.values()].find(
      (each) => each.namespace === namespace && each.name === pod,
    )
    const process_ = running?.containers[container]
    if (running === undefined || process_ === undefined) return undefined
    const known = this.#mirror.items.get(`${namespace}/${pod}`)
    const spec = known === undefined ? undefined : containersOf(known).find(({ name }) => name === container)
    const { runtime } = this.#options
    return {
      isAlive: () => {
        const now = this.#running.get(running.uid)?.containers[container]
        return now !== undefined && now.restarts === process_.restarts && isAlive(now)
      },
      exec: (words, hasTerminal) => {
        if (known === undefined || spec === undefined) return undefined
        const env = this.#environments.get(`${running.uid}/${container}`) ?? {}
        return runtime.exec({ pod: known, spec, container: process_, env, words }, hasTerminal)
      },
      decode: runtime.decodeLog,
      logFile: logFileOf(running, container, process_.restarts),
      previousLogFile: logFileOf(running, container, process_.restarts - 1),
    }
  }

  #lookAtAll(): void {
    if (!this.#mirror.hasSynced) return
    const known = new Set<string>()
    for (const pod of this.#mirror.items.values()) {
      const uid = pod.metadata.uid ?? ''
      known.add(uid)
      this.#look(uid)
    }
    for (const uid of this.#running.keys()) if (!known.has(uid)) this.#look(uid)
  }

  #isReady(uid: string, { name, readinessProbe }: Container): boolean {
    return readinessProbe === undefined || this.#probes.hasPassed(uid, name, 'readiness')
  }

  #lookSoon(uid: string, worker: Worker): void {
    if (worker.isEager) return
    worker.isEager = true
    setTimeout(() => {
      worker.isEager = false
      this.#look(uid)
    }, eagerPeriodMs).unref()
  }

  /** One at a time for each pod; what happens meanwhile makes it look again. */
  #look(uid: string): void {
    const worker = this.#workers.get(uid) ?? {
      isBusy: false,
      isPending: false,
      isEager: false,
      failures: 0,
      retryAtMs: 0,
      waiting: new Map<string, Waiting>(),
      loggedMessage: undefined,
    }
    this.#workers.set(uid, worker)
    if (worker.isBusy) {
      worker.isPending = true
      return
    }
    worker.isBusy = true
    this.#sync(uid, worker)
      .catch((error: unknown) => this.#noteFailure(uid, worker, error))
      .finally(() => {
        worker.isBusy = false
        if (!worker.isPending) return
        worker.isPending = false
        this.#look(uid)
      })
  }

  #noteFailure(uid: string, worker: Worker, error: unknown): void {
    const { clock, log } = this.#options
    worker.retryAtMs = clock.now() + backoffMs(worker.failures++, Math.random(), 100, 5_000)
    const message = error instanceof Error ? error.message : String(error)
    const pod = this.#podOf(uid)
    if (pod !== undefined && error instanceof MountProblem)
      this.#tell(pod, { type: 'Warning', reason: 'FailedMount', message })
    if (pod !== undefined && error instanceof SandboxProblem)
      this.#tell(pod, { type: 'Warning', reason: 'FailedCreatePodSandBox', message })
    if (worker.loggedMessage !== message)
      log.warn({ uid, err: error }, 'pod could not be synchronised; trying again')
    worker.loggedMessage = message
  }

  #podOf(uid: string): Pod | undefined {
    return [...this.#mirror.items.values()].find(({ metadata }) => metadata.uid === uid)
  }

  #tell(pod: Pod, event: PodEvent, container?: Container): void {
    this.#events.record(
      pod,
      container === undefined ? event : { ...event, fieldPath: pathOf(pod, container) },
    )
  }

  async #sync(uid: string, worker: Worker): Promise<void> {
    const pod = this.#podOf(uid)
    if (pod === undefined) {
      await this.#stop(uid, 1)
      this.#workers.delete(uid)
      return
    }
    if (pod.metadata.deletionTimestamp !== undefined) return this.#finish(pod, uid, worker)
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return
    if (this.#options.clock.now() < worker.retryAtMs) return
    try {
      if (this.#running.get(uid) === undefined) {
        await this.#volumes.mounts(pod)
        await this.#startPod(pod, uid)
      }
      await this.#tend(pod, uid, worker)
    } finally {
      await this.#report(pod, uid, worker)
    }
  }

  /** Its containers end, how they ended is said, and then nothing is left of it. */
  async #finish(pod: Pod, uid: string, worker: Worker): Promise<void> {
    const grace = pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30
    for (const container of containersOf(pod)) {
      const present = this.#running.get(uid)?.containers[container.name]
      if (present !== undefined && isAlive(present)) this.#tellKilling(pod, container)
    }
    await this.#endContainers(uid, grace)
    worker.waiting.clear()
    await this.#report(pod, uid, worker, true)
    await this.#stop(uid, grace)
    await this.#pods
      .delete(pod.metadata.name, { namespace: pod.metadata.namespace ?? 'default', gracePeriodSeconds: 0 })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error
      })
  }

  #tellKilling(pod: Pod, container: Container): void {
    const message = `Stopping container ${container.name}`
    this.#tell(pod, { type: 'Normal', reason: 'Killing', message }, container)
  }

  async #endContainers(uid: string, graceSeconds: number): Promise<void> {
    const alive = Object.entries(this.#running.get(uid)?.containers ?? {}).filter(([, each]) => isAlive(each))
    const { runtime } = this.#options
    await Promise.all(
      alive.map(async ([name, container]) => {
        await runtime.stopContainer(container, graceSeconds)
        this.#noteExit(uid, name, container, await runtime.exitCode(container))
      }),
    )
  }

  /** The pod's network ends after its containers, and what the plugin made before the namespace. */
  async #stop(uid: string, graceSeconds: number): Promise<void> {
    const running = this.#running.get(uid)
    if (running === undefined) return
    await this.#endContainers(uid, graceSeconds)
    await this.#options.runtime.stopSandbox(running)
    this.#running.delete(uid)
    forgetRunningPod(uid)
    this.#volumes.forget(uid)
    this.#probes.forget(uid)
    for (const key of this.#environments.keys()) if (key.startsWith(uid)) this.#environments.delete(key)
    this.#workers.delete(uid)
  }

  /** The namespace, then the network in it, and only then a process: ADD has returned when the first packet can leave. */
  async #startPod(pod: Pod, uid: string): Promise<void> {
    const { name, namespace = 'default' } = pod.metadata
    const { runtime, nodeIP } = this.#options
    const isOnHost = pod.spec.hostNetwork ?? false
    if (!isOnHost && findNetwork() === undefined) {
      this.#tell(pod, { type: 'Warning', reason: 'NetworkNotReady', message: networkNotReady })
      throw new Error(networkNotReady)
    }
    const startedAt = new Date().toISOString()
    try {
      const { id, podIPs } = await runtime.startSandbox(pod)
      this.#keep({
        ...{ uid, namespace, name, startedAt, containers: {} },
        ...(id === undefined ? {} : { sandboxId: id }),
        podIPs: isOnHost ? [nodeIP] : podIPs,
      })
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      const message = `Failed to create pod sandbox: rpc error: code = Unknown desc = ${why}`
      throw new SandboxProblem(message, { cause: error })
    }
  }

  #keep(running: RunningPod): void {
    this.#running.set(running.uid, running)
    saveRunningPod(running)
  }

  /** Containers that should run and do not are started, with a growing pause after each end. */
  async #tend(pod: Pod, uid: string, worker: Worker): Promise<void> {
    let problem: unknown
    for (const container of containersDue(pod, this.#running.get(uid))) {
      const running = this.#running.get(uid)
      if (running === undefined) return
      const present = running.containers[container.name]
      try {
        if (present === undefined) await this.#startContainer(pod, running, container)
        else if (isAlive(present)) {
          await this.#recall(pod, container, running)
          await this.#probe(pod, running, container, present)
          if (!this.#isReady(uid, container)) this.#lookSoon(uid, worker)
        } else await this.#restart(pod, running, container, present, worker)
        if (worker.waiting.get(container.name)?.reason !== 'CrashLoopBackOff')
          worker.waiting.delete(container.name)
      } catch (error) {
        this.#noteProblem(pod, container, worker, error)
        problem = error
      }
    }
    if (problem !== undefined) throw problem
    await this.#volumes.mounts(pod)
    worker.failures = 0
    worker.loggedMessage = undefined
  }

  /** Why one container cannot be started; the others may. */
  #noteProblem(pod: Pod, container: Container, worker: Worker, error: unknown): void {
    if (error instanceof MountProblem) return
    const { reason, message, events } = problemOf(container, error)
    worker.waiting.set(container.name, { reason, message })
    for (const event of events) this.#tell(pod, event, container)
  }

  async #restart(
    pod: Pod,
    running: RunningPod,
    container: Container,
    present: RunningContainer,
    worker: Worker,
  ): Promise<void> {
    if (present.ended === undefined) {
      const code = await this.#options.runtime.exitCode(present)
      this.#noteExit(running.uid, container.name, present, code)
    }
    const ended = this.#running.get(running.uid)?.containers[container.name] ?? present
    const { restartPolicy = 'Always' } = pod.spec
    if (restartPolicy === 'Never' || (restartPolicy === 'OnFailure' && ended.ended?.code === 0)) return
    const endedMs = Date.parse(ended.ended?.at ?? '') || this.#options.clock.now()
    const delayMs = restartDelayMs(ended.restarts, endedMs - Date.parse(ended.startedAt))
    if (this.#options.clock.now() - endedMs >= delayMs) {
      worker.waiting.delete(container.name)
      await this.#startContainer(pod, running, container, ended)
      return
    }
    if (worker.waiting.get(container.name)?.reason === 'CrashLoopBackOff') return
    const { name: podName, namespace = 'default', uid } = pod.metadata
    const names = { failed: `pod=${podName}_${namespace}(${uid})`, in: `pod ${podName}_${namespace}(${uid})` }
    worker.waiting.set(container.name, {
      reason: 'CrashLoopBackOff',
      message: `back-off ${durationText(delayMs)} restarting failed container=${container.name} ${names.failed}`,
    })
    const message = `Back-off restarting failed container ${container.name} in ${names.in}`
    this.#tell(pod, { type: 'Warning', reason: 'BackOff', message }, container)
  }

  async #startContainer(
    pod: Pod,
    running: RunningPod,
    container: Container,
    before?: RunningContainer,
  ): Promise<void> {
    const { runtime } = this.#options
    await runtime.requireImage(container)
    const already = `Container image "${container.image}" already present on machine`
    this.#tell(pod, { type: 'Normal', reason: 'Pulled', message: already }, container)
    const problem = securityProblem(securityOf(pod, container))
    if (problem !== undefined) throw new ConfigProblem(`${problem} (container: ${container.name})`)
    const env = await this.#environment(pod, container, running.podIPs)
    const restarts = before === undefined ? 0 : before.restarts + 1
    const binds = [
      ...bindsOf(pod, container, await this.#volumes.mounts(pod)),
      terminationBind(running.uid, container, restarts),
    ]
    const words = {
      command: container.command?.map((word) => expand(word, env)),
      args: container.args?.map((word) => expand(word, env)),
    }
    const logFile = logFileOf(running, container.name, restarts)
    const started: RunningContainer = {
      ...(await runtime.startContainer({ pod, running, container, restarts, env, binds, logFile, ...words })),
      ...(before === undefined ? {} : { previous: previousOf(before) }),
    }
    const now = this.#running.get(running.uid) ?? running
    this.#keep({ ...now, containers: { ...now.containers, [container.name]: started } })
    this.#watchContainer(running.uid, container.name, started)
    this.#tell(pod, { type: 'Normal', reason: 'Created', message: 'Container created' }, container)
    this.#tell(pod, { type: 'Normal', reason: 'Started', message: 'Container started' }, container)
  }

  #watchContainer(uid: string, name: string, container: RunningContainer): void {
    if (container.ended === undefined)
      this.#options.runtime.watchContainer(container, (code) => this.#noteExit(uid, name, container, code))
  }

  #noteExit(uid: string, name: string, container: RunningContainer, code: number): void {
    const running = this.#running.get(uid)
    const known = running?.containers[name]
    if (running === undefined || known?.restarts !== container.restarts || known.ended !== undefined) return
    this.#probes.forget(uid, name)
    const spec = containersOf(this.#podOf(uid) ?? { metadata: { name }, spec: { containers: [] } }).find(
      (each) => each.name === name,
    ) ?? { name, image: '' }
    const logFile = logFileOf(running, name, container.restarts)
    const { decodeLog } = this.#options.runtime
    const message = terminationMessage(uid, spec, container.restarts, code, logFile, decodeLog)
    const ended = { ...known, ended: { code, at: new Date().toISOString(), message } }
    this.#keep({ ...running, containers: { ...running.containers, [name]: ended } })
    this.#look(uid)
  }

  /** For a container that an earlier kubelet started. */
  async #recall(pod: Pod, container: Container, running: RunningPod): Promise<void> {
    if (!this.#environments.has(`${running.uid}/${container.name}`))
      await this.#environment(pod, container, running.podIPs)
  }

  async #environment(
    pod: Pod,
    container: Container,
    podIPs: readonly string[],
  ): Promise<Readonly<Record<string, string>>> {
    const key = `${pod.metadata.uid}/${container.name}`
    const { client, nodeIP, apiServerHost, allocatable } = this.#options
    const given = {
      HOSTNAME: pod.metadata.name,
      KUBERNETES_SERVICE_HOST: apiServerHost,
      KUBERNETES_SERVICE_PORT: String(apiServerPort),
    }
    const addresses = { podIPs, hostIPs: [nodeIP] }
    const env = await environmentOf(client, pod, container, addresses, allocatable, given)
    this.#environments.set(key, env)
    return env
  }

  /** A container that a probe has given up is ended, and the restart policy does the rest. */
  async #probe(
    pod: Pod,
    running: RunningPod,
    container: Container,
    present: RunningContainer,
  ): Promise<void> {
    const { uid, podIPs } = running
    const env = this.#environments.get(`${uid}/${container.name}`) ?? {}
    const { runtime } = this.#options
    const target: ProbeTarget = {
      uid,
      container,
      podIP: podIPs[0] ?? '',
      exec: (words, timeoutMs) =>
        runtime.execSync({ pod, spec: container, container: present, env, words }, timeoutMs),
      ageMs: this.#options.clock.now() - Date.parse(present.startedAt),
      onFailure: (kind, why) =>
        this.#tell(pod, { type: 'Warning', reason: 'Unhealthy', message: failureText(kind, why) }, container),
    }
    const { startupProbe, readinessProbe, livenessProbe } = container
    if (startupProbe !== undefined && !this.#probes.hasPassed(uid, container.name, 'startup')) {
      const verdict = await this.#probes.ask('startup', startupProbe, target)
      if (verdict === 'failed') return this.#giveUp(pod, container, present, 'startup', startupProbe)
      if (verdict !== 'passed') return
    }
    if (readinessProbe !== undefined) await this.#probes.ask('readiness', readinessProbe, target)
    if (livenessProbe === undefined) return
    if ((await this.#probes.ask('liveness', livenessProbe, target)) === 'failed')
      await this.#giveUp(pod, container, present, 'liveness', livenessProbe)
  }

  async #giveUp(
    pod: Pod,
    container: Container,
    present: RunningContainer,
    kind: ProbeKind,
    probe: Probe,
  ): Promise<void> {
    const message = `Container ${container.name} failed ${kind} probe, will be restarted`
    this.#options.log.warn({ pod: pod.metadata.name }, message)
    this.#tell(pod, { type: 'Normal', reason: 'Killing', message }, container)
    const grace = probe.terminationGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30
    await this.#options.runtime.stopContainer(present, grace)
  }

  async #report(pod: Pod, uid: string, worker: Worker, isOver = false): Promise<void> {
    const running = this.#running.get(uid)
    const status = podStatus(pod, {
      hostIP: this.#options.nodeIP,
      scheme: this.#options.runtime.scheme,
      running,
      waiting: worker.waiting,
      isOver,
      isReady: (container) => this.#isReady(uid, container),
      hasStarted: ({ name, startupProbe }) =>
        startupProbe === undefined || this.#probes.hasPassed(uid, name, 'startup'),
    })
    if (isSameJson(status, pod.status)) return
    const { name, namespace = 'default' } = pod.metadata
    await this.#pods
      .patch(
        name,
        'merge',
        { metadata: { uid }, status },
        { namespace, subresource: 'status', fieldManager: 'kubelet' },
      )
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error
      })
  }
}

const networkNotReady =
  'network is not ready: container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized'

/** Where in its pod a container stands, as events name it. */
function pathOf({ spec }: Pod, { name }: Container): string {
  const isInit = spec.initContainers?.some((each) => each.name === name) ?? false
  return `spec.${isInit ? 'initContainers' : 'containers'}{${name}}`
}

function previousOf({ id, process, startedAt, ended }: RunningContainer) {
  return {
    ...(id === undefined ? {} : { id }),
    process,
    startedAt,
    ...(ended === undefined ? {} : { ended }),
  }
}

/** A restart begins a new log; the one before it can still be read. */
function logFileOf(running: RunningPod, container: string, restarts: number): string {
  return join(logDirectory(running.uid), `${container}_${restarts}.log`)
}
