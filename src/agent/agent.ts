import { isDeepStrictEqual } from 'node:util'
import type { Registry } from 'prom-client'
import type { EgressNode } from '../api/egress-node.ts'
import { version } from '../api/version.ts'
import type { Datapath } from '../datapath/datapath.ts'
import { type Membership, membershipOf } from '../decide/gateways/membership.ts'
import { concernsNode, concernsTables } from '../decide/ports/lease-changes.ts'
import { resolve } from '../decide/resolve.ts'
import { compatibleRows } from '../decide/status/compatible-rows.ts'
import { nodeConditions } from '../decide/status/node-conditions.ts'
import { summariseRefusals } from '../decide/status/refusals.ts'
import type { Tables } from '../decide/tables.ts'
import type { Settings, World } from '../decide/world.ts'
import type { Configuration } from '../install/configuration.ts'
import type { KubeClient, Resource } from '../kube/client.ts'
import type { KubePod } from '../kube/cluster-objects.ts'
import type { Netlink } from '../linux/netlink.ts'
import { type Address, parseAddress } from '../net/address.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import { Loop } from '../runtime/reconcile.ts'
import { describeEgress } from './api/egress-views.ts'
import type {
  AgentStatus,
  CniRequest,
  CniResult,
  CompatibleEgressRow,
  DropEvent,
  EgressView,
} from './api/local-api.ts'
import { createMetrics } from './api/metrics.ts'
import { type LocalApi, Refusal } from './api/serve.ts'
import { describeDrop, describeStatus } from './api/views.ts'
import { type Applied, Applier } from './apply.ts'
import { heldAddressesFile } from './failover/held-addresses.ts'
import { Succession } from './failover/succession.ts'
import { TakeoverCounts } from './failover/takeover-counts.ts'
import { listNodeDevices, type NodeDevice, withoutPods } from './node/node-network.ts'
import { egressNodeResource, Observation, podResource, trimPod } from './observe.ts'
import { Lingering } from './plan.ts'
import { type Attachment, Attachments } from './pods/attachments.ts'
import { ChainedPods } from './pods/chained-pods.ts'
import { bringUpLoopback } from './pods/loopback.ts'
import { PodNetwork } from './pods/pod-network.ts'
import { describeRefusals } from './pods/refused-pods.ts'
import { strayPodProblems } from './pods/stray-pods.ts'
import { PortDemand } from './ports/port-demand.ts'
import { Sweep } from './ports/sweep.ts'
import { describeInterfaces, report, withOwnInterfaces } from './report.ts'
import { composeWorld } from './world.ts'

export interface AgentOptions {
  readonly self: string
  readonly client: KubeClient
  readonly datapath: Datapath
  readonly netlink: Netlink
  readonly configuration: Configuration
  readonly configMap: Readonly<Record<string, string>>
  readonly stateDirectory: string
  /** Where the container runtime keeps what CNI plugins made. */
  readonly resultCache: string
  readonly clock: Clock
  readonly log: Logger
  /** The tables are written for the first time: pods can come. Called again where it fails, and until then nothing is ready. */
  readonly onReady: () => void
  /** What keeps pods from coming to us, one sentence each. */
  readonly pluginProblems: () => readonly string[]
}

/** Pressure on several pools, and what several addresses' tables hold, go out together. */
const promiseTogetherMs = 2

/** Connections that are opened together are there within so long. */
const burstMs = 20

function isOwner({ egressIps, self }: Tables, address: Address): boolean {
  return egressIps.get(address)?.order[0] === self.tunnelAddress
}

/** One node's agent: observes, decides, applies, reports. */
export class Agent implements LocalApi {
  readonly #options: AgentOptions
  readonly #observation: Observation
  readonly #attachments: Attachments
  readonly #podNetwork: PodNetwork
  /** In chained mode in the place of the other. */
  readonly #chainedPods: ChainedPods | undefined
  readonly #loop: Loop
  readonly #reporting: Loop
  readonly #promising: Loop
  readonly #portDemand: PortDemand
  readonly #sweep = new Sweep()
  readonly #lingering: Lingering
  readonly #succession: Succession
  readonly #egressNodes: Resource<EgressNode>
  readonly #startedAt: string
  readonly #metrics: Registry
  readonly #takeovers = new TakeoverCounts()
  readonly #applier: Applier
  /** All devices, until something may have changed them. */
  #network: readonly NodeDevice[] | undefined
  #devices: readonly NodeDevice[] = []
  #tables: Tables | undefined
  #applied: Applied | undefined
  #hasOpened = false

  constructor(options: AgentOptions) {
    const { self, client, datapath, netlink, configuration, clock, log, stateDirectory } = options
    this.#options = options
    this.#startedAt = new Date(clock.now()).toISOString()
    this.#observation = new Observation(client, self, {
      clock,
      log,
      onChange: () => this.#lookAgain(),
      concerns: {
        egressNode: (change) => concernsNode(change, this.#portDemand.isWaiting),
        egressAddress: (change) => concernsTables(change, this.#tables),
      },
      watchesNetworkPolicies: configuration.isChained && configuration.networkPolicies === 'refuse',
    })
    this.#egressNodes = client.resource<EgressNode>(egressNodeResource)
    this.#lingering = new Lingering(configuration.egressIpLingerMs)
    this.#portDemand = new PortDemand(configuration.leaseIdleMs)
    this.#attachments = new Attachments(`${stateDirectory}/attachments`)
    const held = {
      datapath,
      netlink,
      clock,
      attachments: this.#attachments,
      isKnown: ({ namespace, name, uid }: Attachment['pod']) => {
        const pod = this.#observation.pod(namespace, name)
        return pod !== undefined && (uid === '' || pod.uid === uid)
      },
      settle: () => this.#settle(),
    }
    this.#podNetwork = new PodNetwork({
      ...held,
      podCIDRs: () => this.#observation.node?.podCIDRs,
      mtu: () => this.#applied?.overlay.mtu,
    })
    this.#chainedPods = configuration.isChained
      ? new ChainedPods({
          ...held,
          resultCache: options.resultCache,
          networkPolicies: configuration.networkPolicies,
        })
      : undefined
    this.#succession = new Succession({
      self,
      datapath,
      netlink,
      tunnelPort: options.configuration.tunnelPort,
      statePath: heldAddressesFile(stateDirectory),
      clock,
      log,
      onChange: () => this.trigger(),
      hearAnew: () => this.#observation.hearAnew(),
      settle: () => this.#settle(),
    })
    this.#applier = new Applier({ datapath, netlink }, configuration)
    this.#loop = new Loop({ name: 'tables', run: () => this.#reconcile(), clock, log })
    this.#reporting = new Loop({ name: 'report', run: () => this.#report(), clock, log, minIntervalMs: 1000 })
    this.#promising = new Loop({ name: 'leases', run: () => this.#promise(), clock, log })
    this.#metrics = createMetrics(datapath, () => ({
      isReady: this.isReady(),
      pods: this.#attachments.list().length,
      tables: this.#tables,
      hearing: this.#succession.hearing(this.#observation.nodes),
      held: this.#succession.held,
      leasedBlocks: new Map(
        [...this.#portDemand.own.since].map(([address, blocks]) => [address, blocks.size]),
      ),
      takeovers: this.#takeovers,
    }))
  }

  get #pods(): PodNetwork | ChainedPods {
    return this.#chainedPods ?? this.#podNetwork
  }

  /** Anything may have changed. */
  trigger(): void {
    this.#network = undefined
    this.#lookAgain()
  }

  #settle(): Promise<void> {
    this.#network = undefined
    return this.#loop.settle()
  }

  /** What the API server says changes nothing of this node's network. */
  #lookAgain(): void {
    this.#loop.trigger()
    this.#reporting.trigger()
  }

  async start(signal: AbortSignal): Promise<void> {
    const { datapath, clock } = this.#options
    this.#lingering.restore(datapath.tables.egress_ips.entries(), clock.monotonicMs())
    this.#portDemand.restore(datapath.tables.pools.entries())
    this.trigger()
    await Promise.all([
      this.#observation.start(signal),
      this.#loop.start(signal),
      this.#reporting.start(signal),
      this.#promising.start(signal),
      this.#listenForPressure(signal),
      this.#succession.start(signal),
    ])
  }

  async #reconcile(): Promise<void> {
    try {
      await this.#decideAndApply()
    } catch (error) {
      this.#network = undefined
      throw error
    }
  }

  /** Nothing is decided before every watch has listed: what is missing may only not have come yet. */
  async #decideAndApply(): Promise<void> {
    const { netlink, clock, log, onReady } = this.#options
    if (!this.#observation.hasSynced) return
    const isNetworkKnown = this.#network !== undefined
    this.#network ??= listNodeDevices(netlink)
    this.#pods.observe(this.#network)
    const attachments = this.#attachments.list()
    this.#devices = withoutPods(this.#network, attachments)
    const world = this.#world()
    const membership = this.#membership()
    if (!membership.isMember) this.#succession.renounce(membership.message)
    const tables = resolve(world)
    const lingering = this.#lingering.update(tables.egressIps, clock.monotonicMs(), this.#stackAddresses())
    const devices = this.#devices
    this.#applied = await this.#applier.apply({ tables, devices, attachments, lingering, isNetworkKnown })
    for (const repair of this.#applied.hooks.repairs) log.warn(repair)
    for (const { address, ...lease } of this.#portDemand.applied(world, tables, clock.monotonicMs()))
      log.info({ egressIP: address, ...lease }, 'ports leased')
    this.#promising.trigger()
    if (membership.isMember) this.#succession.update(tables, lingering, this.#devices)
    this.#takeovers.note(this.#succession.held, (address) => isOwner(tables, address))
    if (!isDeepStrictEqual(tables.refusals, this.#tables?.refusals)) this.#reporting.trigger()
    this.#tables = tables
    if (!this.#hasOpened) onReady()
    this.#hasOpened = true
  }

  #membership(): Membership {
    return membershipOf({
      self: this.#options.self,
      node: this.#observation.node,
      hasEgressNode: this.#observation.egressNode !== undefined,
      addresses: new Set(this.#devices.flatMap(({ addresses }) => addresses)),
    })
  }

  /** What the stack gives to pods that no policy selects was an egress IP only before the node was chained. */
  #stackAddresses(): readonly Address[] {
    return this.#options.configuration.isChained ? (this.#observation.node?.internalIPs ?? []) : []
  }

  #settings(): Settings {
    const { slots, isChained, networkPolicies, stackCIDRs, nonMasqueradeCIDRs } = this.#options.configuration
    return { slots, isChained, networkPolicies, stackCIDRs, nonMasqueradeCIDRs }
  }

  #world(): World {
    const observed = this.#observation.world(this.#settings())
    const own = withOwnInterfaces(observed.egressNodes, this.#options.self, this.#interfaces())
    const { heard, unreachable } = this.#succession.hearing(observed.nodes)
    const isEnabled = this.#options.configuration.enableEgressGateway
    return composeWorld(
      {
        ...observed,
        egressNodes: own,
        ciliumPolicies: isEnabled ? observed.ciliumPolicies : [],
        isovalentPolicies: isEnabled ? observed.isovalentPolicies : [],
        heardNodes: new Set(heard),
        silentNodes: new Set(unreachable),
        ownLeases: this.#portDemand.observe(observed, this.#options.clock.monotonicMs()),
      },
      this.#observation.pods,
      this.#attachments.list(),
    )
  }

  /** What the world may know of: not the tunnel, the pods' devices, and what is another's. */
  #interfaces() {
    return describeInterfaces(
      this.#devices.filter(({ kind }) => kind !== 'vxlan'),
      this.#succession.held,
    )
  }

  async #report(): Promise<void> {
    if (!this.#observation.hasSynced || this.#devices.length === 0) return
    const { heard, unreachable } = this.#succession.hearing(this.#observation.nodes)
    const refused = summariseRefusals(this.#tables?.refusals ?? [])
    const egressNode = this.#observation.egressNode
    const status = {
      interfaces: this.#interfaces(),
      heard,
      unreachable,
      refused,
      version,
      ...this.#standing(egressNode),
    }
    await report(this.#egressNodes, egressNode, status)
  }

  /** By which address others are to know this node, and whether they reach it. */
  #standing(egressNode: EgressNode | undefined): Partial<NonNullable<EgressNode['status']>> {
    const { clock, configuration } = this.#options
    const membership = this.#membership()
    const tunnelAddress = membership.isMember ? this.#tables?.self.tunnelAddress : undefined
    return {
      ...(tunnelAddress === undefined ? {} : { tunnelAddress }),
      conditions: nodeConditions(
        { node: this.#observation.node, membership, isCutOff: this.#succession.isCutOff },
        { before: egressNode?.status?.conditions ?? [], now: new Date(clock.now()).toISOString() },
        configuration.tunnelPort,
      ),
    }
  }

  /** Somebody waits for each of these: a node for ports, others for what this one confirms. */
  async #promise(): Promise<void> {
    const { clock } = this.#options
    await clock.sleep(promiseTogetherMs)
    if (!this.#observation.hasSynced || this.#tables === undefined) return
    await report(this.#egressNodes, this.#observation.egressNode, this.#portDemand.status)
  }

  /** A burst is over before its second record is due: how many flows it cost stands in the table. */
  async #listenForPressure(signal: AbortSignal): Promise<void> {
    const { datapath } = this.#options
    for await (const { address, refused } of datapath.pressure(signal)) {
      this.#press(address, refused)
      setTimeout(() => {
        const key = { address, purpose: 'egress' as const }
        this.#press(address, datapath.tables.pool_pressures.get(key)?.refused ?? refused)
      }, burstMs).unref()
    }
  }

  #press(address: Address, refused: number): void {
    const outcome = this.#portDemand.press(address, refused, this.#options.clock.monotonicMs())
    if (outcome !== undefined) this.#promising.trigger()
    if (outcome === 'keeps') this.#loop.trigger()
  }

  sweep(): void {
    const { datapath, clock, log } = this.#options
    try {
      const { removed, used } = this.#sweep.run(datapath)
      if (removed > 0) log.debug({ removed }, 'deleted expired mappings and stray ports')
      if (!this.#portDemand.sweep(used, clock.monotonicMs())) return
      this.#promising.trigger()
      this.#loop.trigger()
    } catch (error) {
      log.warn({ err: error }, 'deleting expired mappings failed')
    }
  }

  /* ---- the local API ---- */

  isReady(): boolean {
    return this.#hasOpened && this.#loop.lastError === undefined
  }

  status(): AgentStatus {
    const { self, datapath, configuration } = this.#options
    return describeStatus({
      version,
      node: self,
      isReady: this.isReady(),
      startedAt: this.#startedAt,
      devices: this.#applied?.nativeDevices ?? [],
      podCIDRs: this.#observation.node?.podCIDRs ?? [],
      tables: this.#tables,
      overlay: this.#applied?.overlay,
      tunnelPort: configuration.tunnelPort,
      attachments: this.#attachments.list(),
      datapath,
      problems: this.#problems(),
    })
  }

  #problems(): string[] {
    const problems = [
      ...this.#options.pluginProblems(),
      ...this.#succession.problems,
      ...this.#portDemand.problems(this.#options.clock.monotonicMs()),
      ...(this.#applied?.hooks.problems ?? []),
      ...(this.#chainedPods?.problems ??
        strayPodProblems(this.#attachments.list(), this.#observation.node?.podCIDRs)),
      ...describeRefusals(this.#tables?.refusals ?? []),
    ]
    if (!this.#observation.hasSynced)
      problems.push(
        `The agent has not listed ${this.#observation.missing.join(', ')} from the API server yet. It changes nothing until it has.`,
      )
    else if (this.#observation.isStale)
      problems.push('The API server does not answer. The node continues with what it last received.')
    if (this.#loop.lastError !== undefined)
      problems.push(`Applying the tables failed: ${this.#loop.lastError.message}`)
    if (this.#reporting.lastError !== undefined)
      problems.push(
        `Writing the status of EgressNode ${this.#options.self} failed: ${this.#reporting.lastError.message}`,
      )
    if (this.#tables !== undefined && this.#tables.self.slot === undefined)
      problems.push(
        'The operator has not given this node a slot yet. Traffic that a policy selects is dropped until it has. Check that the operator runs.',
      )
    return problems
  }

  config(): Readonly<Record<string, string>> {
    return this.#options.configMap
  }

  /** Asks the API server for the pods of all nodes, this once; without it, only this node's are shown. */
  async compatibleRows(): Promise<readonly CompatibleEgressRow[]> {
    const world = this.#world()
    const pods = await this.#options.client.resource<KubePod>(podResource).list()
    const others = pods.items
      .filter(({ spec, status }) => spec.nodeName !== this.#options.self && status?.phase === 'Running')
      .map((pod) => ({
        ...trimPod(pod),
        ips: (pod.status?.podIPs ?? []).flatMap(({ ip }) => parseAddress(ip) ?? []),
      }))
    return compatibleRows({ ...world, pods: [...world.pods, ...others] })
  }

  egress(): readonly EgressView[] {
    return this.#tables === undefined
      ? []
      : describeEgress(
          this.#tables,
          this.#attachments.list(),
          this.#options.datapath,
          new Set(this.#succession.hearing(this.#observation.nodes).unreachable),
        )
  }

  async *drops(signal: AbortSignal): AsyncGenerator<DropEvent> {
    const { datapath, clock } = this.#options
    for await (const drop of datapath.drops(signal))
      yield describeDrop(drop, clock.monotonicNs(), clock.now())
  }

  metrics(): Promise<string> {
    return this.#metrics.metrics()
  }

  async cni(request: CniRequest): Promise<CniResult | undefined> {
    if (request.command === 'STATUS' && !this.isReady())
      throw new Refusal(503, this.#problems().join(' ') || 'the agent has not written its tables yet')
    return this.#pods.handle(request)
  }

  loopback(netns: string): readonly string[] {
    return bringUpLoopback(netns)
  }
}
