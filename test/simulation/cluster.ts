import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Configuration, configMapData, parseConfiguration } from '../../src/install/configuration.ts'
import type { Address } from '../../src/net/address.ts'
import { AgentRun, type AgentSurroundings, StateFolders } from './agent-runner.ts'
import { SimulatedApi } from './api.ts'
import { ApiNetwork } from './api-link.ts'
import type { KernelNetwork } from './kernel-network.ts'
import type { ProgramPool } from './loaded-programs.ts'
import { Machine } from './machine.ts'
import { Network } from './network.ts'
import { OperatorRun } from './operator-runner.ts'
import { Kubelet, type PodSpec, type SimulatedPod } from './pods.ts'
import type { Random } from './random.ts'
import { Services, serviceSpecs } from './services.ts'
import type { Story } from './story.ts'
import { readSnapshot, type TableSnapshot } from './table-snapshots.ts'
import { Traffic, type TrafficListener } from './traffic.ts'
import type { VirtualClock } from './virtual-clock.ts'

export interface ClusterListener extends TrafficListener {
  readonly onApplied: (machine: Machine) => void
}

export interface NodeSpec {
  readonly name: string
  readonly address: Address
  readonly labels: Readonly<Record<string, string>>
  /** Addresses of a second device, net0. */
  readonly egressAddresses: readonly Address[]
}

interface Member {
  readonly machine: Machine
  readonly folders: StateFolders
  readonly spec: NodeSpec
  /** The name of its Node object. */
  nodeName: string
  run: AgentRun | undefined
}

/** A whole cluster: its API server, machines, agents, operators, pods and network. */
export class Cluster implements Disposable {
  readonly clock: VirtualClock
  readonly random: Random
  readonly story: Story
  readonly api: SimulatedApi
  readonly apiNetwork: ApiNetwork
  readonly network: Network
  readonly traffic: Traffic
  readonly kubelet: Kubelet
  readonly configuration: Configuration
  readonly services: Services
  readonly members = new Map<string, Member>()
  /** By name. */
  readonly operators = new Map<string, OperatorRun>()
  readonly snapshots = new Map<Machine, TableSnapshot>()
  readonly #machines = new Map<string, Machine>()
  readonly #namespaces = new Map<string, KernelNetwork>()
  readonly #around: AgentSurroundings
  readonly #pool: ProgramPool
  readonly #epochMs: number
  readonly #directory: string
  readonly #disturbances = new Map<string, number>()
  readonly #disturbed = new Map<string, number>()

  constructor(held: {
    clock: VirtualClock
    random: Random
    story: Story
    pool: ProgramPool
    /** In memory, and of this seed alone. */
    directory: string
    settings: Readonly<Record<string, string>>
    listener: ClusterListener
    epochMs: number
  }) {
    const { clock, random, story, pool, directory, settings, listener, epochMs } = held
    this.clock = clock
    this.random = random
    this.story = story
    this.#pool = pool
    this.#epochMs = epochMs
    this.#directory = directory
    /* Nothing is left there of an earlier run of the same seed. */
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory, { recursive: true })
    const configMap = configMapData(settings)
    const parsed = parseConfiguration(configMap)
    if (!parsed.ok) throw new Error(parsed.issues.join('; '))
    this.configuration = parsed.value
    this.api = new SimulatedApi(join(directory, 'api'))
    this.apiNetwork = new ApiNetwork(this.api, clock, random.fork('api'))
    this.traffic = new Traffic({
      clock,
      random: random.fork('traffic'),
      network: () => this.network,
      listener,
    })
    this.network = new Network(clock, random.fork('network'), this.#machines, {
      onWorld: (frame, by) => this.traffic.reachWorld(frame, by),
      onPod: (frame, machine, ifindex) => this.traffic.reachPod(frame, machine, ifindex),
      onEnd: (frame, machine, program, verdict) => this.traffic.end(frame, machine, program, verdict),
      onRun: (machine) => this.#hearPressure(machine),
    })
    const specs = this.configuration.replacesKubeProxy ? serviceSpecs : []
    this.services = new Services(this, random.fork('services'), specs)
    this.traffic.services = specs
    this.kubelet = new Kubelet({
      api: this.api,
      clock,
      story,
      directory,
      namespaces: this.#namespaces,
      agentOf: (machine) => this.agentOf(machine),
    })
    this.#around = {
      clock,
      random,
      story,
      api: this.apiNetwork,
      network: this.network,
      namespaces: this.#namespaces,
      configuration: this.configuration,
      configMap,
      directory,
      onApplied: (machine) => {
        this.snapshots.set(machine, readSnapshot(machine, this.snapshots.get(machine), clock.nowUs))
        listener.onApplied(machine)
      },
    }
  }

  agentOf(machine: Machine): AgentRun | undefined {
    const run = this.members.get(machine.name)?.run
    return run?.process.isDead ? undefined : run
  }

  get machines(): readonly Machine[] {
    return [...this.#machines.values()]
  }

  /** Those that run. */
  get agents(): readonly AgentRun[] {
    return this.machines.flatMap((machine) => this.agentOf(machine) ?? [])
  }

  /** An agent has written the tables of that machine since it was switched on. */
  hasTables(machine: Machine): boolean {
    return machine.isOn && this.snapshots.has(machine)
  }

  /**
   * When something last happened for which packets of a machine's pods may be lost, whatever the product does: now, while it goes on.
   * Without a machine: of any.
   */
  disturbedAtUs(machine?: Machine): number {
    const of =
      machine === undefined
        ? [...this.#disturbed.values()]
        : [this.#disturbed.get(machine.name) ?? 0, this.#disturbed.get('*') ?? 0]
    return Math.min(this.clock.nowUs, Math.max(0, ...of))
  }

  /** `*`: all machines. Until `calm`. */
  disturb(name: string): void {
    this.#disturbances.set(name, (this.#disturbances.get(name) ?? 0) + 1)
    this.#disturbed.set(name, Number.MAX_SAFE_INTEGER)
  }

  calm(name: string): void {
    const left = (this.#disturbances.get(name) ?? 1) - 1
    this.#disturbances.set(name, left)
    if (left <= 0) this.#disturbed.set(name, this.clock.nowUs)
  }

  /** The latest of each machine and each operator, dead ones too. */
  get processes(): readonly (AgentRun | OperatorRun)[] {
    return [...[...this.members.values()].flatMap(({ run }) => run ?? []), ...this.operators.values()]
  }

  get pods(): readonly SimulatedPod[] {
    return this.kubelet.pods
  }

  /** A record of a ring buffer reaches its reader in a step of its own. */
  #hearPressure(machine: Machine): void {
    const records = machine.programs.takePressure()
    const run = this.agentOf(machine)
    if (records.length > 0 && run !== undefined)
      run.process.after(0.1, () => run.datapath.notePressure(records))
  }

  /** A computer with its Node object and its agent. */
  async addNode(spec: NodeSpec): Promise<void> {
    const machine = new Machine(spec.name, spec.address, {
      clock: this.clock,
      random: this.random,
      programs: this.#pool.get(this.#machines.size, this.configuration.replacesKubeProxy),
      epochMs: this.#epochMs,
      namespaces: this.#namespaces,
    })
    for (const address of spec.egressAddresses) machine.addOwnAddress(address, 'net0')
    this.#machines.set(spec.name, machine)
    const folders = new StateFolders(join(this.#directory, `state-${spec.name}`))
    this.members.set(spec.name, { machine, folders, spec, nodeName: spec.name, run: undefined })
    await this.register(spec.name)
    this.startAgent(spec.name)
  }

  member(name: string): Member {
    const member = this.members.get(name)
    if (member === undefined) throw new Error(`there is no machine ${name}`)
    return member
  }

  /** The Node object, as a kubelet makes it. */
  async register(name: string): Promise<void> {
    const { nodeName, spec } = this.member(name)
    const octet = Number(spec.address.split('.')[3])
    await this.api.ask('POST', '/api/v1/nodes', {
      metadata: { name: nodeName, labels: spec.labels },
      spec: { podCIDR: `10.244.${octet}.0/24`, podCIDRs: [`10.244.${octet}.0/24`] },
    })
    await this.setNodeStatus(name, [{ type: 'InternalIP', address: spec.address }])
  }

  async setNodeStatus(
    name: string,
    addresses: readonly { readonly type: string; readonly address: string }[],
    isReady = true,
  ): Promise<void> {
    const { nodeName, machine } = this.member(name)
    const nodeInfo = { bootID: `boot-${machine.boots}` }
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'Unknown' }]
    await this.api.ask(
      'PATCH',
      `/api/v1/nodes/${nodeName}/status`,
      { status: { addresses, conditions, nodeInfo } },
      'application/merge-patch+json',
    )
  }

  async patchNode(name: string, patch: object, part: '' | '/status' = ''): Promise<void> {
    const path = `/api/v1/nodes/${this.member(name).nodeName}${part}`
    await this.api.ask('PATCH', path, patch, 'application/merge-patch+json').catch(() => {})
  }

  startAgent(name: string): void {
    const member = this.member(name)
    if (!member.machine.isOn || this.agentOf(member.machine) !== undefined) return
    member.run = new AgentRun(member.machine, member.nodeName, this.#around, member.folders)
  }

  /** Power is cut: pods end, and what was in memory is gone. */
  async switchOff(name: string): Promise<void> {
    const { machine, run, folders } = this.member(name)
    machine.isOn = false
    this.snapshots.delete(machine)
    run?.process.kill()
    folders.empty()
    for (const pod of this.pods.filter((each) => each.machine === machine)) await this.kubelet.delete(pod)
  }

  /** The kubelet reports the boot before it starts the agent. */
  async switchOn(name: string): Promise<void> {
    const { machine, spec } = this.member(name)
    machine.boot()
    for (const address of spec.egressAddresses) machine.addOwnAddress(address, 'net0')
    const status = { nodeInfo: { bootID: `boot-${machine.boots}` } }
    await this.patchNode(name, { status }, '/status')
    this.startAgent(name)
  }

  startOperator(name: string): void {
    const time = {
      monotonicNs: () => BigInt(Math.round(this.clock.nowUs)) * 1000n,
      epochMs: () => Math.floor(this.#epochMs + this.clock.nowMs),
    }
    const { slots, isChained, networkPolicies, stackCIDRs, nonMasqueradeCIDRs, ports } = this.configuration
    const settings = { slots, isChained, networkPolicies, stackCIDRs, nonMasqueradeCIDRs, ports }
    this.operators.set(name, new OperatorRun(name, time, this.#around, settings))
  }

  async addPod(spec: PodSpec, machine: string): Promise<SimulatedPod> {
    const member = this.member(machine)
    const pod = await this.kubelet.create(spec, member.machine, member.nodeName)
    this.traffic.begin(pod)
    return pod
  }

  [Symbol.dispose](): void {
    for (const { run } of this.members.values()) if (run?.process.isDead === false) run.process.kill()
    for (const { process } of this.operators.values()) if (!process.isDead) process.kill()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
