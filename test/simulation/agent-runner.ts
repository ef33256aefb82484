import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Agent } from '../../src/agent/agent.ts'
import { linkProbeFrame } from '../../src/agent/failover/pulse/link-probe.ts'
import type { FromProber, ProberHandle, ProberOptions } from '../../src/agent/failover/pulse/messages.ts'
import { Prober, type ProbeTransport } from '../../src/agent/failover/pulse/prober.ts'
import { timing } from '../../src/agent/failover/pulse/timing.ts'
import type { Configuration } from '../../src/install/configuration.ts'
import { Arrivals } from '../../src/linux/arrivals.ts'
import type { Machine as MachineSeam } from '../../src/linux/machine.ts'
import type { Address } from '../../src/net/address.ts'
import { ApiLink, type ApiNetwork } from './api-link.ts'
import { GuardedDatapath } from './guarded-datapath.ts'
import { type KernelNetwork, netlinkOf } from './kernel-network.ts'
import type { Machine } from './machine.ts'
import type { Network } from './network.ts'
import { SimulatedProcess } from './process.ts'
import type { Random } from './random.ts'
import type { Story } from './story.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** A message between an agent and its prober takes a while. */
const messageMs = 0.1
/** Netlink tells of changes of devices, several of them together. */
const noticeMs = 0.5

/** The kubelet's probes begin before an agent has listed anything. */
const earlyQueriesMs = [0.1, 3, 20]

export interface AgentSurroundings {
  readonly clock: VirtualClock
  readonly random: Random
  readonly story: Story
  readonly api: ApiNetwork
  readonly network: Network
  readonly namespaces: ReadonlyMap<string, KernelNetwork>
  readonly configuration: Configuration
  readonly configMap: Record<string, string>
  /** A folder of this simulation. */
  readonly directory: string
  /** The agent of that machine has written its tables. */
  readonly onApplied: (machine: Machine) => void
}

/** One run of the real agent on a machine. */
export class AgentRun {
  readonly process: SimulatedProcess
  readonly agent: Agent
  readonly datapath: GuardedDatapath
  readonly machine: Machine
  readonly nodeName: string
  /** What a query changed, in a sentence. */
  changedByQuery: string | undefined

  constructor(machine: Machine, nodeName: string, around: AgentSurroundings, folders: StateFolders) {
    const { clock, story, random, api, configuration, configMap } = around
    this.machine = machine
    this.nodeName = nodeName
    this.process = new SimulatedProcess(`${machine.name} agent`, {
      world: clock,
      machine,
      story,
      onDeath: () => folders.leave(),
    })
    const touch = (): void => this.process.touch()
    this.datapath = new GuardedDatapath(machine.programs, this.process, {
      beforeRun: () => machine.beforeRun(),
      onApplied: () => around.onApplied(machine),
    })
    const draw = random.fork(`${machine.name} agent ${clock.nowUs}`)
    this.agent = this.process.enter(
      () =>
        new Agent({
          self: nodeName,
          client: new ApiLink(api, this.process, machine.name),
          datapath: this.datapath,
          netlink: netlinkOf(machine.network, touch),
          machine: kernelOf(machine, around, touch),
          startProber: (options) => this.#startProber(options, around),
          networkChanges: (signal) => this.#networkChanges(signal),
          configuration,
          sharesAddress: false,
          configMap,
          stateDirectory: folders.current,
          logDirectory: `${folders.current}/log`,
          resultCache: join(folders.current, 'results'),
          clock: this.process.clock,
          random: () => draw.next(),
          log: this.process.log,
          onReady: () => story.tell(this.process.name, 'is ready: its tables are written'),
          pluginProblems: () => [],
          checkNode: () => [],
        }),
    )
    story.tell(this.process.name, `starts as node ${nodeName}`)
    this.process.run((signal) => this.agent.start(signal))
    for (const afterMs of earlyQueriesMs) this.process.after(afterMs, () => this.askEverything())
  }

  /** As people and probes do. A query changes nothing, whenever it comes: states are replaced, never changed, so identity shows it. */
  askEverything(): void {
    const { api } = this.agent
    this.process.enter(() => {
      const before = this.agent.snapshot
      api.isReady()
      api.status().catch(() => {})
      api.egress()
      api.compatibleRows().catch(() => {})
      const after = this.agent.snapshot
      if (
        before.ports !== after.ports ||
        before.failover !== after.failover ||
        before.decided !== after.decided
      )
        this.changedByQuery ??= `a query of the local API changed what ${this.process.name} knows or decides`
    })
  }

  #startProber({ flags, report }: ProberOptions, around: AgentSurroundings): ProberHandle {
    const { process, machine } = this
    const prober = new Prober({
      tables: this.datapath.tables,
      flags,
      transport: transportOf(machine, around.network, () => process.touch()),
      report: (told: FromProber) => process.after(messageMs, () => report(told)),
      nowNs: () => machine.monotonicNs(),
    })
    const stop = process.clock.every(timing.tickMs, () => prober.tick())
    return {
      send: (message) => {
        process.after(messageMs, () => prober.take(message))
      },
      stop: async () => stop(),
    }
  }

  async *#networkChanges(signal: AbortSignal): AsyncGenerator<unknown> {
    const changes = new Arrivals<true>(1)
    let isDue = false
    const stop = this.machine.network.listen(() => {
      if (isDue) return
      isDue = true
      this.process.after(noticeMs, () => {
        isDue = false
        changes.push(true)
      })
    })
    try {
      yield* changes.until(signal)
    } finally {
      stop()
    }
  }
}

/** What an agent keeps on disk for the next one: a copy of its own for each, since a dead one may still write into the void. */
export class StateFolders {
  readonly #directory: string
  #number = 0

  constructor(directory: string) {
    this.#directory = directory
    mkdirSync(this.current, { recursive: true })
  }

  get current(): string {
    return join(this.#directory, String(this.#number))
  }

  leave(): void {
    const before = this.current
    this.#number++
    if (existsSync(before)) cpSync(before, this.current, { recursive: true })
    else mkdirSync(this.current, { recursive: true })
  }

  /** The machine has booted: such files are in memory. */
  empty(): void {
    rmSync(this.current, { recursive: true, force: true })
    mkdirSync(this.current, { recursive: true })
  }
}

function kernelOf(
  machine: Machine,
  { network, namespaces }: AgentSurroundings,
  touch: () => void,
): MachineSeam {
  return {
    readSysctl: () => '0',
    writeSysctl: () => {
      touch()
      return true
    },
    reservePorts: () => {
      touch()
      return true
    },
    announce: (_device, address) => {
      touch()
      network.announce(machine, address)
    },
    /* Every address of the simulated link is a cluster node's, and those are no conflict. */
    openLinkClaims: () => ({ probe: touch, claims: () => [], [Symbol.dispose]: () => {} }),
    inNamespace: (path, work) => {
      const inside = namespaces.get(path)
      if (inside === undefined) throw new Error(`there is no network namespace ${path}`)
      return work(netlinkOf(inside, touch))
    },
  }
}

function transportOf(machine: Machine, network: Network, touch: () => void): ProbeTransport {
  const { btf } = machine.programs
  return {
    send: (to) => {
      touch()
      network.probe(machine, to)
    },
    sendByLink: ({ isAnswered, ...link }) => {
      touch()
      const sourcePort = btf.constant(isAnswered ? 'LINK_PROBE_ANSWERED' : 'LINK_PROBE_UNANSWERED')
      const destinationPort = btf.constant('LINK_PROBE_PORT')
      network.probeLink(machine, linkProbeFrame({ ...link, sourcePort, destinationPort }))
    },
    keepOnly: () => {},
    openLink: () => {
      const answered = new Set<Address>()
      return {
        ask: (address) => {
          touch()
          network.ask(machine, address, () => answered.add(address))
          return true
        },
        answers: () => {
          const found = new Set(answered)
          answered.clear()
          return found
        },
        [Symbol.dispose]: () => {},
      }
    },
  }
}
