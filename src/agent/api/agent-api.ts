import type { Registry } from 'prom-client'
import { version } from '../../api/version.ts'
import type { Datapath } from '../../datapath/datapath.ts'
import { countInTurns } from '../../datapath/maps/turn.ts'
import { findUnserved } from '../../decide/policies/unserved-networks.ts'
import { compatibleRows } from '../../decide/status/compatible-rows.ts'
import type { Configuration } from '../../install/configuration.ts'
import type { KubeClient } from '../../kube/client.ts'
import type { KubePod } from '../../kube/cluster-objects.ts'
import type { Machine } from '../../linux/machine.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { parseAddress } from '../../net/address.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Finding } from '../../runtime/finding.ts'
import type { Random } from '../../runtime/random.ts'
import { reportFailover } from '../failover/failover-views.ts'
import type { NatLogging } from '../nat-log/nat-logging.ts'
import { podResource, trimPod } from '../observe.ts'
import { bringUpLoopback } from '../pods/loopback.ts'
import type { Pods } from '../pods/pods.ts'
import type { Snapshot } from '../snapshot.ts'
import type { Timings } from '../timings.ts'
import { describeEgress, holdersOf } from './egress-views.ts'
import { Asking, decidedIn } from './explain/asking.ts'
import type { ExplainRequest, Explanation, WayOut } from './explain/explanation.ts'
import type { FlowQuery, FlowRow, PortOwner } from './flows/flow-row.ts'
import { ownerOf, readFlows } from './flows/read-flows.ts'
import { HttpError } from './http-error.ts'
import type {
  AgentStatus,
  CniRequest,
  CniResult,
  CompatibleEgressRow,
  DropEvent,
  EgressView,
  PageView,
  ServiceView,
} from './local-api.ts'
import { FlowTotals } from './metrics/flow-totals.ts'
import { createMetrics } from './metrics/metrics.ts'
import { observedIn } from './metrics/observed.ts'
import type { NatLogAnswer, NatLogQuery } from './nat-log/nat-log-row.ts'
import { readNatLog } from './nat-log/read-nat-log.ts'
import { describePaths } from './paths.ts'
import { describeProblems } from './problems.ts'
import type { LocalApi } from './serve.ts'
import { describeServices } from './service-views.ts'
import type {
  PassageLine,
  PassageQuery,
  TestPacketRequest,
  TestPacketResult,
} from './test-packet/test-packet-row.ts'
import { TestPackets } from './test-packet/test-packets.ts'
import { describeDrop, describeStatus } from './views.ts'

interface AgentApiOptions {
  readonly self: string
  readonly client: KubeClient
  readonly datapath: Datapath
  readonly machine: Machine
  readonly clock: Clock
  readonly netlink: Netlink
  readonly random: Random
  readonly sharesAddress: boolean
  readonly configuration: Configuration
  readonly configMap: Readonly<Record<string, string>>
  readonly logDirectory: string
  readonly pluginProblems: () => readonly string[]
  readonly checkNode: () => readonly Finding[]
}

/** Answers each request from one snapshot. A query changes nothing that the agent knows or does. */
/** What the API asks beside the snapshot. */
interface Parts {
  readonly pods: Pick<Pods, 'handle'>
  readonly timings: Timings
  readonly natLog: NatLogging
}

export class AgentApi implements LocalApi {
  readonly #options: AgentApiOptions
  readonly #snapshot: () => Snapshot
  readonly #pods: Pick<Pods, 'handle'>
  readonly #metrics: Registry
  readonly #flowTotals: FlowTotals
  readonly #asking: Asking
  readonly #natLog: NatLogging
  readonly #testPackets: TestPackets

  constructor(options: AgentApiOptions, snapshot: () => Snapshot, { pods, timings, natLog }: Parts) {
    this.#options = options
    this.#natLog = natLog
    this.#snapshot = snapshot
    this.#pods = pods
    this.#asking = new Asking(options)
    this.#testPackets = new TestPackets(options)
    const { datapath, clock } = options
    this.#flowTotals = new FlowTotals(datapath, clock)
    this.#metrics = createMetrics(datapath, this.#flowTotals, timings, () => {
      const now = snapshot()
      return observedIn(now, datapath, {
        paths: this.#paths(now),
        problems: this.#problems(now).length,
        natLog: natLog.counts,
      })
    })
  }

  isReady(): boolean {
    return this.#snapshot().isReady
  }

  async status(): Promise<AgentStatus> {
    const mappings = await countInTurns(this.#options.datapath.tables.mappings.raw)
    const { self, datapath, configuration } = this.#options
    const snapshot = this.#snapshot()
    return describeStatus({
      ...{ version, mappings },
      node: self,
      isReady: snapshot.isReady,
      startedAt: snapshot.startedAt,
      devices: snapshot.decided?.applied.nativeDevices ?? [],
      podCIDRs: snapshot.node?.podCIDRs ?? [],
      tables: snapshot.decided?.tables,
      overlay: snapshot.decided?.applied.overlay,
      tunnelPort: configuration.tunnelPort,
      paths: this.#paths(snapshot),
      attachments: snapshot.attachments,
      datapath,
      problems: this.#problems(snapshot),
    })
  }

  #paths({ failover, decided }: Snapshot): AgentStatus['paths'] | undefined {
    const { configuration, datapath, clock } = this.#options
    if (!configuration.usesLinks || decided === undefined) return undefined
    const { links } = datapath.tables
    const gateways = failover.gateways.keys()
    return describePaths(gateways, decided.tables.nodes, (node) => links.get(node), clock.monotonicNs())
  }

  /** Of this node, as `status` has them. */
  problems(): readonly string[] {
    return this.#problems(this.#snapshot())
  }

  #problems(snapshot: Snapshot): readonly string[] {
    const { self, clock, configuration, pluginProblems } = this.#options
    return describeProblems(snapshot, {
      self,
      tunnelPort: configuration.tunnelPort,
      nowMs: clock.monotonicMs(),
      pluginProblems: [...pluginProblems(), ...this.#natLog.problems],
    })
  }

  config(): Readonly<Record<string, string>> {
    return this.#options.configMap
  }

  findings(): readonly Finding[] {
    return this.#options.checkNode()
  }

  /** Asks the API server for the pods of all nodes, because the agent watches only its own node's pods. */
  async compatibleRows(): Promise<readonly CompatibleEgressRow[]> {
    const decided = decidedIn(this.#snapshot())
    const pods = await this.#options.client.resource<KubePod>(podResource).list()
    const others = pods.items
      .filter(({ spec, status }) => spec.nodeName !== this.#options.self && status?.phase === 'Running')
      .map((pod) => ({
        ...trimPod(pod),
        ips: (pod.status?.podIPs ?? []).flatMap(({ ip }) => parseAddress(ip) ?? []),
      }))
    return compatibleRows({ ...decided.world, pods: [...decided.world.pods, ...others] })
  }

  egress(): readonly EgressView[] {
    const { decided, attachments, failover, nodes } = this.#snapshot()
    if (decided === undefined) return []
    const held = new Set(failover.held.keys())
    const { self, datapath } = this.#options
    const { reachability, byLink } = reportFailover(failover, nodes)
    return describeEgress(decided.tables, attachments, datapath.tables.mappings.entries(), {
      self,
      byLink: new Set(byLink),
      unreachable: new Set(reachability.unreachable),
      holders: holdersOf(decided.world.egressNodes, { name: self, held }),
      unserved: findUnserved(decided.world),
    })
  }

  page(): PageView {
    const { nowNs, nowMs } = this.#moment()
    const timeOf = (ns: bigint): string => new Date(nowMs - Number(nowNs - ns) / 1e6).toISOString()
    const moments = this.#snapshot().moments.map(({ atNs, ...moment }) => ({
      ...{ id: `${moment.kind} ${moment.egressIp} ${atNs}`, time: timeOf(atNs), ...moment },
    }))
    return { egress: this.egress(), moments }
  }

  services(): readonly ServiceView[] {
    return describeServices(this.#snapshot().decided?.tables.services ?? [])
  }

  async *drops(signal: AbortSignal): AsyncGenerator<DropEvent> {
    const { datapath, self } = this.#options
    for await (const drop of datapath.drops(signal)) {
      const { attachments } = this.#snapshot()
      yield describeDrop(drop, { node: self, attachments, ...this.#moment() })
    }
  }

  #moment() {
    const { clock } = this.#options
    return { nowNs: clock.monotonicNs(), nowMs: new Date(clock.now()).getTime() }
  }

  explain(request: ExplainRequest): Promise<Explanation> {
    return this.#asking.explain(this.#snapshot(), request)
  }

  wayOut(from: string, to: string): WayOut {
    return this.#asking.wayOut(this.#snapshot(), from, to)
  }

  sendTestPacket(request: TestPacketRequest): Promise<TestPacketResult> {
    return this.#testPackets.send(this.#snapshot().attachments, request)
  }

  passages(query: PassageQuery, signal: AbortSignal): AsyncGenerator<PassageLine> {
    return this.#testPackets.follow(query, signal)
  }

  owner(address: string, port: number): PortOwner {
    const parsed = parseAddress(address)
    if (parsed === undefined) throw new HttpError(400, `${address} is not an IP address`)
    return ownerOf(decidedIn(this.#snapshot()).tables, parsed, port)
  }

  flows(query: FlowQuery): AsyncGenerator<FlowRow> {
    const { decided, attachments } = this.#snapshot()
    const { self: node, datapath } = this.#options
    const pods = decided?.world.pods ?? []
    return readFlows({ node, datapath, tables: decided?.tables, attachments, pods, ...this.#moment() }, query)
  }

  natLog(query: NatLogQuery): AsyncGenerator<NatLogAnswer> {
    const { self: node, datapath, configuration, logDirectory } = this.#options
    const parts = { node, datapath, settings: configuration.natLog, log: this.#natLog.log, logDirectory }
    return readNatLog({ ...parts, tables: this.#snapshot().decided?.tables, ...this.#moment() }, query)
  }

  async metrics(): Promise<string> {
    await this.#flowTotals.refresh()
    return this.#metrics.metrics()
  }

  async cni(request: CniRequest): Promise<CniResult | undefined> {
    const snapshot = this.#snapshot()
    if (request.command === 'STATUS' && !snapshot.isReady)
      throw new HttpError(
        503,
        this.#problems(snapshot).join(' ') || 'the agent has not written its tables yet',
      )
    return this.#pods.handle(request)
  }

  loopback(netns: string): readonly string[] {
    return bringUpLoopback(this.#options.machine, netns)
  }
}
