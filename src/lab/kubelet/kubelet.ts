import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { KubeClient, Resource } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { Mirror } from '../../kube/mirror.ts'
import { backoffMs } from '../../runtime/backoff.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import { findImage, unknownImage } from '../images.ts'
import { apiServerPort, repository } from '../layout.ts'
import { endProcess } from '../machine.ts'
import { type PodEvent, recordEvent } from '../pod-events.ts'
import { callNetwork, findNetwork } from './cni.ts'
import { securityOf, securityProblem } from './confinement.ts'
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
import { type Allocatable, fieldOf } from './downward.ts'
import { type Container, containersOf, type Pod } from './pod-spec.ts'
import { Probes } from './probes.ts'
import { launch, makeNetns, removeNetns } from './sandbox.ts'
import { stateDirectory } from './state-directory.ts'
import { podStatus } from './status.ts'
import type { ContainerHandle } from './streams.ts'
import { bindsOf } from './volumes/binds.ts'
import { MountProblem, PodVolumes } from './volumes/pod-volumes.ts'

export interface KubeletOptions {
  readonly nodeName: string
  readonly nodeIP: string
  readonly apiServerHost: string
  readonly allocatable: Allocatable
  /** Of the API server that pods reach. */
  readonly authority: string
  readonly client: KubeClient
  readonly clock: Clock
  readonly log: Logger
}

interface Worker {
  isBusy: boolean
  isPending: boolean
  failures: number
  retryAtMs: number
  waiting: { reason: string; message: string } | undefined
  /** What was logged and recorded last: the same again would say nothing. */
  toldMessage: string | undefined
}

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

  constructor(options: KubeletOptions) {
    const { client, nodeName, clock, log } = options
    this.#options = options
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
    const env =
      known !== undefined && spec !== undefined ? this.#environment(known, spec, running.podIPs[0] ?? '') : {}
    return {
      pid: process_.process.pid,
      security: known !== undefined && spec !== undefined ? securityOf(known, spec) : {},
      isAlive: () => {
        const now = this.#running.get(running.uid)?.containers[container]
        return now !== undefined && now.restarts === process_.restarts && isAlive(now)
      },
      env,
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

  /** One at a time for each pod; what happens meanwhile makes it look again. */
  #look(uid: string): void {
    const worker = this.#workers.get(uid) ?? {
      isBusy: false,
      isPending: false,
      failures: 0,
      retryAtMs: 0,
      waiting: undefined,
      toldMessage: undefined,
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
    if (worker.toldMessage !== message) {
      log.warn({ uid, err: error }, 'pod could not be synchronised; trying again')
      const pod = [...this.#mirror.items.values()].find(({ metadata }) => metadata.uid === uid)
      const reason =
        error instanceof MountProblem
          ? 'FailedMount'
          : worker.waiting?.reason === 'ErrImagePull'
            ? 'Failed'
            : 'FailedStart'
      if (pod !== undefined) this.#tell(pod, { type: 'Warning', reason, message })
    }
    worker.toldMessage = message
    worker.waiting = { reason: worker.waiting?.reason ?? 'ContainerCreating', message }
  }

  #tell(pod: Pod, event: PodEvent): void {
    const { client, nodeName } = this.#options
    void recordEvent(client, { component: 'kubelet', host: nodeName }, pod, event)
  }

  async #sync(uid: string, worker: Worker): Promise<void> {
    const pod = [...this.#mirror.items.values()].find(({ metadata }) => metadata.uid === uid)
    if (pod === undefined) {
      await this.#stop(uid, 1)
      this.#workers.delete(uid)
      return
    }
    if (pod.metadata.deletionTimestamp !== undefined) return this.#finish(pod, uid)
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return
    if (this.#options.clock.now() < worker.retryAtMs) return
    try {
      if (this.#running.get(uid) === undefined) {
        await this.#volumes.mounts(pod)
        await this.#startPod(pod, uid, worker)
      }
      await this.#tend(pod, uid)
      worker.failures = 0
      worker.waiting = undefined
    } finally {
      await this.#report(pod, uid, worker)
    }
  }

  async #finish(pod: Pod, uid: string): Promise<void> {
    for (const [name, container] of Object.entries(this.#running.get(uid)?.containers ?? {}))
      if (isAlive(container))
        this.#tell(pod, { type: 'Normal', reason: 'Killing', message: `Stopping container ${name}` })
    await this.#stop(
      uid,
      pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30,
    )
    await this.#pods
      .delete(pod.metadata.name, { namespace: pod.metadata.namespace ?? 'default', gracePeriodSeconds: 0 })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error
      })
  }

  /** The pod's network ends after its containers, and what the plugin made before the namespace. */
  async #stop(uid: string, graceSeconds: number): Promise<void> {
    const running = this.#running.get(uid)
    if (running === undefined) return
    await Promise.all(
      Object.values(running.containers)
        .filter(isAlive)
        .map(({ process: id }) => endProcess(id, graceSeconds * 1000)),
    )
    if (running.netnsId !== undefined) {
      const network = findNetwork()
      const stub = {
        metadata: { name: running.name, namespace: running.namespace, uid },
        spec: { containers: [] },
      }
      if (network !== undefined)
        await callNetwork('DEL', network, stub, running.netnsId, `/run/netns/${running.netnsId}`)
      removeNetns(running.netnsId)
    }
    this.#running.delete(uid)
    forgetRunningPod(uid)
    this.#volumes.forget(uid)
    this.#probes.forget(uid)
    for (const key of this.#environments.keys()) if (key.startsWith(uid)) this.#environments.delete(key)
    this.#workers.delete(uid)
  }

  /** The namespace, then the network in it, and only then a process: ADD has returned when the first packet can leave. */
  async #startPod(pod: Pod, uid: string, worker: Worker): Promise<void> {
    const unknown = containersOf(pod).find(({ image }) => findImage(image) === undefined)
    if (unknown !== undefined) {
      worker.waiting = { reason: 'ErrImagePull', message: unknownImage(unknown.image) }
      throw new Error(unknownImage(unknown.image))
    }
    const { name, namespace = 'default' } = pod.metadata
    const common = { uid, namespace, name, startedAt: new Date().toISOString(), containers: {} }
    if (pod.spec.hostNetwork) {
      this.#keep({ ...common, podIPs: [this.#options.nodeIP] })
      return
    }
    const network = findNetwork()
    if (network === undefined)
      throw new Error('network plugin is not ready: no CNI configuration in /etc/cni/net.d')
    const netnsId = `pod-${randomBytes(8).toString('hex')}`
    const netns = makeNetns(netnsId)
    try {
      const result = await callNetwork('ADD', network, pod, netnsId, netns)
      const podIPs = (result.ips ?? []).map(({ address }) => address.split('/')[0] ?? '')
      this.#keep({ ...common, netnsId, podIPs })
    } catch (error) {
      await callNetwork('DEL', network, pod, netnsId, netns).catch(() => {})
      removeNetns(netnsId)
      throw error
    }
  }

  #keep(running: RunningPod): void {
    this.#running.set(running.uid, running)
    saveRunningPod(running)
  }

  /** Containers that should run and do not are started, with a growing pause after each end. */
  async #tend(pod: Pod, uid: string): Promise<void> {
    for (const container of containersDue(pod, this.#running.get(uid))) {
      const running = this.#running.get(uid)
      if (running === undefined) return
      const present = running.containers[container.name]
      if (present === undefined) await this.#startContainer(pod, running, container, 0)
      else if (isAlive(present)) await this.#probe(pod, running, container, present)
      else await this.#restart(pod, running, container, present)
    }
    await this.#volumes.mounts(pod)
  }

  async #restart(
    pod: Pod,
    running: RunningPod,
    container: Container,
    ended: RunningContainer,
  ): Promise<void> {
    if (ended.ended === undefined) this.#noteExit(running.uid, container.name, ended, 137)
    const { restartPolicy = 'Always' } = pod.spec
    if (restartPolicy === 'Never' || (restartPolicy === 'OnFailure' && ended.ended?.code === 0)) return
    const sinceMs = this.#options.clock.now() - Date.parse(ended.ended?.at ?? new Date(0).toISOString())
    if (sinceMs < backoffMs(ended.restarts, 1, 200, 20_000)) return
    await this.#startContainer(pod, running, container, ended.restarts + 1)
  }

  async #startContainer(
    pod: Pod,
    running: RunningPod,
    container: Container,
    restarts: number,
  ): Promise<void> {
    const image = findImage(container.image)
    const security = securityOf(pod, container)
    const problem = securityProblem(security)
    if (problem !== undefined) throw new Error(problem)
    const env = this.#environment(pod, container, running.podIPs[0] ?? '')
    const binds = bindsOf(pod, container, await this.#volumes.mounts(pod))
    const command = [
      ...(container.command ?? (container.args === undefined ? (image?.command ?? []) : [])),
      ...(container.args ?? []),
    ]
    const started: { current?: RunningContainer } = {}
    const process_ = launch({
      pod,
      command,
      security,
      env,
      binds,
      netns: running.netnsId === undefined ? undefined : `/run/netns/${running.netnsId}`,
      logFile: logFileOf(running, container.name, restarts),
      onExit: (code) => {
        if (started.current !== undefined) this.#noteExit(running.uid, container.name, started.current, code)
      },
    })
    started.current = { process: process_, startedAt: new Date().toISOString(), restarts }
    this.#keep({ ...running, containers: { ...running.containers, [container.name]: started.current } })
    this.#tell(pod, { type: 'Normal', reason: 'Started', message: `Started container ${container.name}` })
  }

  #noteExit(uid: string, name: string, container: RunningContainer, code: number): void {
    const running = this.#running.get(uid)
    if (running?.containers[name]?.process.pid !== container.process.pid) return
    this.#probes.forget(uid, name)
    const ended = { ...container, ended: { code, at: new Date().toISOString() } }
    this.#keep({ ...running, containers: { ...running.containers, [name]: ended } })
    this.#look(uid)
  }

  #environment(pod: Pod, container: Container, podIP: string): Readonly<Record<string, string>> {
    const key = `${pod.metadata.uid}/${container.name}`
    const known = this.#environments.get(key)
    if (known !== undefined) return known
    const { nodeIP: hostIP, apiServerHost } = this.#options
    const given = (container.env ?? []).map(({ name, value, valueFrom }) => [
      name,
      value ??
        fieldOf(pod, valueFrom?.fieldRef?.fieldPath ?? '', { podIPs: [podIP], hostIPs: [hostIP] }) ??
        '',
    ])
    const env = {
      PATH: `${process.env.LAB_NODE_BIN}:${process.env.LAB_BIN}:${repository}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      HOME: '/root',
      HOSTNAME: pod.metadata.name,
      KUBERNETES_SERVICE_HOST: apiServerHost,
      KUBERNETES_SERVICE_PORT: String(apiServerPort),
      ...Object.fromEntries(given),
    }
    this.#environments.set(key, env)
    return env
  }

  /** A container that its liveness probe has given up is ended, and the restart policy does the rest. */
  async #probe(
    pod: Pod,
    running: RunningPod,
    container: Container,
    present: RunningContainer,
  ): Promise<void> {
    const podIP = running.podIPs[0] ?? ''
    const target = {
      uid: running.uid,
      container: container.name,
      pid: present.process.pid,
      podIP,
      env: this.#environment(pod, container, podIP),
      security: securityOf(pod, container),
      ageMs: this.#options.clock.now() - Date.parse(present.startedAt),
    }
    const { readinessProbe, livenessProbe } = container
    if (readinessProbe !== undefined) await this.#probes.ask('readiness', readinessProbe, target)
    if (livenessProbe === undefined) return
    if ((await this.#probes.ask('liveness', livenessProbe, target)) !== 'failed') return
    const message = `container ${container.name} failed its liveness probe and is started again`
    this.#options.log.warn({ pod: pod.metadata.name }, message)
    this.#tell(pod, { type: 'Warning', reason: 'Unhealthy', message })
    await endProcess(present.process, (pod.spec.terminationGracePeriodSeconds ?? 30) * 1000)
  }

  async #report(pod: Pod, uid: string, worker: Worker): Promise<void> {
    const running = this.#running.get(uid)
    const status = podStatus(pod, {
      hostIP: this.#options.nodeIP,
      running,
      waiting: worker.waiting,
      isReady: (container) => {
        const hasProbe =
          pod.spec.containers.find(({ name }) => name === container)?.readinessProbe !== undefined
        return !hasProbe || this.#probes.isReady(uid, container)
      },
    })
    if (JSON.stringify(status) === JSON.stringify(pod.status)) return
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

/** A restart begins a new log; the one before it can still be read. */
function logFileOf(running: RunningPod, container: string, restarts: number): string {
  return join(logDirectory(running.uid), `${container}_${restarts}.log`)
}
