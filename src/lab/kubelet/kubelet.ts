import { join } from 'node:path'
import { coreResource } from '../../kube/cluster-objects.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { Mirror } from '../../kube/mirror.ts'
import type { Resource } from '../../kube/resource.ts'
import { backoffMs } from '../../runtime/backoff.ts'
import { EventRecorder } from '../cluster/event-recorder.ts'
import type { PodEvent } from '../cluster/pod-events.ts'
import { PodContainers } from './containers/pod-containers.ts'
import { isAlive, logFileOf, RunningPods } from './containers/running-pods.ts'
import { type Container, containersOf, type Pod } from './pod-spec.ts'
import { PodWorkers, type Worker } from './pod-workers.ts'
import { findNetwork } from './sandbox/cni.ts'
import { stateDirectory } from './state-directory.ts'
import { isWritten, podStatus } from './status.ts'
import type { ContainerHandle } from './streams.ts'
import type { Surroundings } from './surroundings.ts'
import { MountProblem, PodVolumes } from './volumes/pod-volumes.ts'

/** The pod's network cannot be made, so none of its containers can start. */
class SandboxProblem extends Error {}

const resyncMs = 1000

/** Runs this node's pods as the API server lists them, with one worker for each pod. */
export class Kubelet {
  readonly #surroundings: Surroundings
  readonly #pods: Resource<Pod>
  readonly #mirror: Mirror<Pod, Pod>
  readonly #running = new RunningPods()
  readonly #workers: PodWorkers
  readonly #volumes: PodVolumes
  readonly #containers: PodContainers
  readonly #events: EventRecorder

  constructor(surroundings: Surroundings) {
    const { client, nodeName, clock, log } = surroundings
    const onChange = (): void => this.#lookAtAll()
    this.#surroundings = surroundings
    this.#events = new EventRecorder(client, { component: 'kubelet', host: nodeName })
    this.#workers = new PodWorkers({
      sync: (uid, worker) => this.#sync(uid, worker),
      onFailure: (uid, worker, error) => this.#noteFailure(uid, worker, error),
    })
    this.#volumes = new PodVolumes({
      ...surroundings,
      directory: join(stateDirectory, 'volumes'),
      onChange,
    })
    this.#containers = new PodContainers(surroundings, {
      running: this.#running,
      volumes: this.#volumes,
      podOf: (uid) => this.#podOf(uid),
      tell: (...told) => this.#tell(...told),
      onEnd: (uid) => this.#workers.look(uid),
    })
    this.#pods = client.resource<Pod>(coreResource('pods', true))
    const fieldSelector = `spec.nodeName=${nodeName}`
    this.#mirror = new Mirror<Pod, Pod>(this.#pods, {
      ...{ fieldSelector, clock, log, onChange },
      trim: (pod) => pod,
    })
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#containers.watchAll()
    const timer = setInterval(() => this.#lookAtAll(), resyncMs)
    try {
      await this.#mirror.start(signal)
    } finally {
      clearInterval(timer)
    }
  }

  /** For logs, exec and attach. */
  find(namespace: string, pod: string, container: string): ContainerHandle | undefined {
    const running = this.#running.find(namespace, pod)
    const present = running?.containers[container]
    if (running === undefined || present === undefined) return undefined
    const { uid } = running
    const known = this.#mirror.items.get(`${namespace}/${pod}`)
    const spec = known === undefined ? undefined : containersOf(known).find(({ name }) => name === container)
    const { runtime } = this.#surroundings
    return {
      isAlive: () => {
        const now = this.#running.get(uid)?.containers[container]
        return now !== undefined && now.restarts === present.restarts && isAlive(now)
      },
      exec: (words, hasTerminal) => {
        if (known === undefined || spec === undefined) return undefined
        const env = this.#containers.environmentOf(uid, container)
        return runtime.exec({ pod: known, spec, container: present, env, words }, hasTerminal)
      },
      decode: runtime.decodeLog,
      logFile: logFileOf(uid, container, present.restarts),
      previousLogFile: logFileOf(uid, container, present.restarts - 1),
    }
  }

  #lookAtAll(): void {
    if (!this.#mirror.hasSynced) return
    const known = [...this.#mirror.items.values()].map(({ metadata }) => metadata.uid ?? '')
    const running = this.#running.all().map(({ uid }) => uid)
    for (const uid of new Set([...known, ...running])) this.#workers.look(uid)
  }

  #noteFailure(uid: string, worker: Worker, error: unknown): void {
    const { clock, log } = this.#surroundings
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
      this.#workers.forget(uid)
      return
    }
    if (pod.metadata.deletionTimestamp !== undefined) return this.#finish(pod, uid, worker)
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return
    if (this.#surroundings.clock.now() < worker.retryAtMs) return
    try {
      if (this.#running.get(uid) === undefined) {
        await this.#volumes.mounts(pod)
        await this.#startPod(pod, uid)
      }
      await this.#containers.tend(pod, uid, worker)
    } finally {
      this.#lookSoonIfNotReady(pod, uid)
      await this.#report(pod, uid, worker)
    }
  }

  #lookSoonIfNotReady(pod: Pod, uid: string): void {
    const isWaitedFor = ({ name }: Container): boolean => {
      const present = this.#running.get(uid)?.containers[name]
      return present !== undefined && isAlive(present)
    }
    const waited = containersOf(pod).filter(isWaitedFor)
    if (waited.some((each) => !this.#containers.probing.isReady(uid, each))) this.#workers.lookSoon(uid)
  }

  /** Ends the containers, reports how they ended, and then removes the rest of the pod. */
  async #finish(pod: Pod, uid: string, worker: Worker): Promise<void> {
    const grace = pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30
    for (const container of containersOf(pod)) {
      const present = this.#running.get(uid)?.containers[container.name]
      const message = `Stopping container ${container.name}`
      if (present !== undefined && isAlive(present))
        this.#tell(pod, { type: 'Normal', reason: 'Killing', message }, container)
    }
    await this.#containers.endAll(uid, grace)
    worker.waiting.clear()
    await this.#report(pod, uid, worker, true)
    await this.#stop(uid, grace)
    const { name, namespace = 'default' } = pod.metadata
    await this.#pods.delete(name, { namespace, gracePeriodSeconds: 0 }).catch(ignoreNotFound)
  }

  /** The pod's network ends after its containers. The CNI plugin removes its part before the namespace goes. */
  async #stop(uid: string, graceSeconds: number): Promise<void> {
    const running = this.#running.get(uid)
    if (running === undefined) return
    await this.#containers.endAll(uid, graceSeconds)
    await this.#surroundings.runtime.stopSandbox(running)
    this.#running.forget(uid)
    this.#volumes.forget(uid)
    this.#containers.forget(uid)
    this.#workers.forget(uid)
  }

  /** Makes the namespace, then the network in it. No process runs before ADD has returned, so no packet leaves before that. */
  async #startPod(pod: Pod, uid: string): Promise<void> {
    const { name, namespace = 'default' } = pod.metadata
    const { runtime, nodeIP } = this.#surroundings
    const isOnHost = pod.spec.hostNetwork ?? false
    if (!isOnHost && findNetwork() === undefined) {
      this.#tell(pod, { type: 'Warning', reason: 'NetworkNotReady', message: networkNotReady })
      throw new Error(networkNotReady)
    }
    const startedAt = new Date().toISOString()
    try {
      const { id, podIPs } = await runtime.startSandbox(pod)
      this.#running.keep({
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

  async #report(pod: Pod, uid: string, worker: Worker, isOver = false): Promise<void> {
    const { probing } = this.#containers
    const status = podStatus(pod, {
      hostIP: this.#surroundings.nodeIP,
      scheme: this.#surroundings.runtime.scheme,
      running: this.#running.get(uid),
      waiting: worker.waiting,
      isOver,
      isReady: (container) => probing.isReady(uid, container),
      hasStarted: (container) => probing.hasStarted(uid, container),
    })
    if (isWritten(status, pod.status)) return
    const { name, namespace = 'default' } = pod.metadata
    const options = { namespace, subresource: 'status', fieldManager: 'kubelet' } as const
    await this.#pods.patch(name, 'merge', { metadata: { uid }, status }, options).catch(ignoreNotFound)
  }
}

const networkNotReady =
  'network is not ready: container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized'

function ignoreNotFound(error: unknown): void {
  if (!isNotFound(error)) throw error
}

/** A container's place in its pod, as Events name it. */
function pathOf({ spec }: Pod, { name }: Container): string {
  const isInit = spec.initContainers?.some((each) => each.name === name) ?? false
  return `spec.${isInit ? 'initContainers' : 'containers'}{${name}}`
}
