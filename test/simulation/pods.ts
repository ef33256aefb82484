import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Address, parseAddress } from '../../src/net/address.ts'
import type { AgentRun } from './agent-runner.ts'
import type { SimulatedApi } from './api.ts'
import { KernelNetwork } from './kernel-network.ts'
import type { Machine } from './machine.ts'
import type { Story } from './story.ts'
import type { VirtualClock } from './virtual-clock.ts'

const namespace = 'default'
/** A kubelet tries to start a pod again after so long, and asks the plugin again after a failure. */
const retryMs = 1_000

export interface PodSpec {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

/** A pod on a machine, as the kubelet and the container runtime there see it. */
export class SimulatedPod {
  readonly name: string
  readonly uid: string
  readonly labels: Readonly<Record<string, string>>
  readonly machine: Machine
  readonly netns: string
  readonly containerId: string
  address: Address | undefined
  ifindex: number | undefined
  isGone = false

  constructor(spec: PodSpec, uid: string, machine: Machine, netns: string) {
    this.name = spec.name
    this.labels = spec.labels
    this.uid = uid
    this.machine = machine
    this.netns = netns
    this.containerId = `container-${uid}`
  }

  get isRunning(): boolean {
    return !this.isGone && this.address !== undefined && this.machine.isMoving
  }
}

export interface KubeletSurroundings {
  readonly api: SimulatedApi
  readonly clock: VirtualClock
  readonly story: Story
  readonly directory: string
  readonly namespaces: Map<string, KernelNetwork>
  /** The agent of a machine, where one runs that can be asked. */
  readonly agentOf: (machine: Machine) => AgentRun | undefined
}

/** Starts and ends pods: the API server's object, the plugin's ADD and DEL, and the pod's status. */
export class Kubelet {
  readonly pods: SimulatedPod[] = []
  readonly #around: KubeletSurroundings
  #made = 0

  constructor(around: KubeletSurroundings) {
    this.#around = around
  }

  async create(spec: PodSpec, machine: Machine, nodeName: string): Promise<SimulatedPod> {
    const { api, directory, namespaces, story } = this.#around
    const path = `/api/v1/namespaces/${namespace}/pods`
    const { text } = await api.ask('POST', path, {
      metadata: { name: spec.name, labels: spec.labels },
      spec: { nodeName, containers: [{ name: 'main', image: 'image' }] },
    })
    const { uid } = (JSON.parse(text) as { metadata: { uid: string } }).metadata
    const netns = join(directory, `netns-${++this.#made}`)
    writeFileSync(netns, '')
    namespaces.set(netns, new KernelNetwork())
    const pod = new SimulatedPod(spec, uid, machine, netns)
    this.pods.push(pod)
    story.tell(machine.name, `pod ${spec.name} is scheduled here (${describeLabels(spec.labels)})`)
    this.#add(pod)
    return pod
  }

  /** Asks the agent until it answers: without its answer the pod does not start. */
  #add(pod: SimulatedPod): void {
    const { clock, agentOf, story } = this.#around
    const again = (): void => void clock.after(retryMs, () => this.#add(pod))
    if (pod.isGone) return
    const run = agentOf(pod.machine)
    if (run === undefined || !pod.machine.isMoving) {
      again()
      return
    }
    const { containerId, netns, name, uid } = pod
    run.process.deliver(() => {
      const request = {
        command: 'ADD',
        containerId,
        interfaceName: 'eth0',
        netns,
        pod: { namespace, name, uid },
      }
      run.agent.api.cni(request as Parameters<typeof run.agent.api.cni>[0]).then(
        (result) => {
          if (run.process.isDead || pod.isGone) return again()
          pod.address = parseAddress(result?.ips?.[0]?.address.split('/')[0] ?? '')
          pod.ifindex = machineDevice(pod.machine, result?.interfaces?.[0]?.name ?? '')
          story.tell(pod.machine.name, `pod ${name} runs with ${pod.address}`)
          void this.#report(pod)
        },
        () => again(),
      )
    })
    /* An agent that dies meanwhile never answers. */
    clock.after(retryMs * 5, () => {
      if (pod.address === undefined && run.process.isDead) this.#add(pod)
    })
  }

  /** Asks the agent until it answers. A container of a machine that has no power is gone anyway. */
  #remove(pod: SimulatedPod): void {
    const { clock, agentOf } = this.#around
    const again = (): void => void clock.after(retryMs, () => this.#remove(pod))
    if (!pod.machine.isOn) return
    const run = agentOf(pod.machine)
    if (run === undefined || !pod.machine.isMoving) {
      again()
      return
    }
    run.process.deliver(() => {
      const request = { command: 'DEL', containerId: pod.containerId, interfaceName: 'eth0' }
      run.agent.api.cni(request as Parameters<typeof run.agent.api.cni>[0]).catch(again)
    })
    /* An agent that dies meanwhile never answers. A second request changes nothing. */
    clock.after(retryMs * 5, () => {
      if (run.process.isDead) this.#remove(pod)
    })
  }

  async #report(pod: SimulatedPod): Promise<void> {
    const { api } = this.#around
    const status = { phase: 'Running', podIP: pod.address, podIPs: [{ ip: pod.address }] }
    const path = `/api/v1/namespaces/${namespace}/pods/${pod.name}/status`
    await api.ask('PATCH', path, { status }, 'application/merge-patch+json').catch(() => {})
  }

  async delete(pod: SimulatedPod): Promise<void> {
    const { api, story, namespaces } = this.#around
    if (pod.isGone) return
    pod.isGone = true
    this.pods.splice(this.pods.indexOf(pod), 1)
    story.tell(pod.machine.name, `pod ${pod.name} ends`)
    this.#remove(pod)
    namespaces.delete(pod.netns)
    const path = `/api/v1/namespaces/${namespace}/pods/${pod.name}`
    await api.ask('DELETE', path, { gracePeriodSeconds: 0 }).catch(() => {})
  }
}

function machineDevice(machine: Machine, name: string): number | undefined {
  return machine.deviceIndex(name)
}

function describeLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(', ')
}
