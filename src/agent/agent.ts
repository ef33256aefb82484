import type { EgressNode } from '../api/egress-node.ts'
import { type Membership, membershipOf } from '../decide/gateways/membership.ts'
import { concernsNode, concernsTables } from '../decide/ports/lease-changes.ts'
import { resolve } from '../decide/resolve.ts'
import { hasIPsec, type NodeRules } from '../decide/status/stack-rules.ts'
import type { World } from '../decide/world.ts'
import type { Resource } from '../kube/resource.ts'
import { Loop } from '../runtime/reconcile.ts'
import { type AgentOptions, resyncMs } from './agent-options.ts'
import { AgentApi } from './api/agent-api.ts'
import type { LocalApi } from './api/serve.ts'
import { Applier } from './apply.ts'
import { conflictsOf, unusableAddresses } from './failover/address-claims.ts'
import { Failover } from './failover/failover.ts'
import { reachabilityOf, reportFailover } from './failover/failover-views.ts'
import { heldAddressesFile } from './failover/held-addresses.ts'
import { Lingering } from './lingering.ts'
import { NatLogging } from './nat-log/nat-logging.ts'
import {
  type NodeDevice,
  type NodeNetwork,
  observeNetwork,
  withoutAdded,
  withoutPods,
} from './node/node-network.ts'
import { egressNodeResource, Observation } from './observe.ts'
import { PacedReports } from './paced-report.ts'
import { endedAddresses } from './plan.ts'
import { Attachments } from './pods/attachments.ts'
import { createPods, type Pods } from './pods/pods.ts'
import { LeasedPorts } from './ports/leased-ports.ts'
import {
  describeLingering,
  describeNode,
  isReportedAlike,
  report,
  reportedInterfaces,
  stackUseOf,
} from './report.ts'
import type { Decided, Snapshot } from './snapshot.ts'
import { Timings } from './timings.ts'
import { composeWorld, withOwnKnowledge } from './world.ts'

/** One node's agent: observes, decides, applies, reports. */
export class Agent {
  readonly api: LocalApi
  readonly #options: AgentOptions
  readonly #observation: Observation
  readonly #attachments: Attachments
  readonly #pods: Pods
  readonly #loop: Loop
  readonly #reporting: Loop
  readonly #ports: LeasedPorts
  readonly #lingering: Lingering
  readonly #failover: Failover
  readonly #egressNodes: Resource<EgressNode>
  readonly #startedAt: string
  readonly #applier: Applier
  readonly #timings = new Timings()
  readonly #natLog: NatLogging
  readonly #paced: PacedReports
  /** Undefined if it may have changed since it was read. */
  #network: NodeNetwork | undefined
  #devices: readonly NodeDevice[] = []
  #ownDevices: readonly NodeDevice[] = []
  /** Undefined if they are to be read again. A node can have thousands of rules, and every new pod changes the network. */
  #stackRules: NodeRules | undefined
  #decided: Decided | undefined

  constructor(options: AgentOptions) {
    const { self, client, datapath, configuration, clock, random, log, stateDirectory } = options
    this.#options = options
    this.#startedAt = new Date(clock.now()).toISOString()
    this.#egressNodes = client.resource<EgressNode>(egressNodeResource)
    this.#observation = new Observation(client, self, {
      clock,
      random,
      log,
      onUrgentChange: () => this.#reconcileNow(),
      onChange: () => {
        this.#loop.triggerInBackground()
        this.#reporting.trigger()
      },
      concerns: {
        egressNode: (change) => concernsNode(change, this.#ports.isWaiting),
        egressAddress: (change) => concernsTables(change, this.#decided?.tables),
      },
      configuration,
    })
    this.#natLog = new NatLogging(options)
    this.#lingering = new Lingering(configuration.egressIpLingerMs)
    this.#attachments = new Attachments(`${stateDirectory}/attachments`)
    this.#ports = new LeasedPorts({
      ...options,
      idleMs: configuration.leaseIdleMs,
      onChange: () => this.#loop.trigger(),
      ...this.#timings.ofPorts,
      onSweptSome: () => this.#natLog.drain(),
      report: async (status) => {
        if (this.#decided !== undefined) await report(this.#egressNodes, this.#observation.egressNode, status)
      },
    })
    this.#pods = createPods(options, {
      attachments: this.#attachments,
      node: () => this.#observation.node,
      pod: (namespace, name) => this.#observation.pod(namespace, name),
      mtu: () => this.#decided?.applied.overlay.mtu,
      settle: () => this.#settle(),
    })
    this.#failover = new Failover({
      ...options,
      tables: datapath.tables,
      statePath: heldAddressesFile(stateDirectory),
      onChange: () => this.#networkChanged(),
      receivesNothing: () => this.#observation.receivesNothing,
      relist: () => this.#observation.relist(),
      settle: () => this.#settle(),
      onOutage: (outage) => this.#timings.failedOver(outage, this.#decided?.tables.nodes),
    })
    this.#applier = new Applier(options, { ...configuration, sharesAddress: options.sharesAddress })
    const loops = { clock, random, log, onRun: this.#timings.loops.note }
    this.#loop = new Loop({
      ...loops,
      name: 'tables',
      run: () => this.#reconcile(),
      backgroundIntervalMs: configuration.reconciliationIntervalMs,
    })
    this.#reporting = new Loop({ ...loops, name: 'report', run: () => this.#report(), minIntervalMs: 1000 })
    this.#paced = new PacedReports({ clock, random, onDue: () => this.#reporting.trigger() })
    const parts = { pods: this.#pods, timings: this.#timings, natLog: this.#natLog }
    this.api = new AgentApi(options, () => this.snapshot, parts)
  }

  get snapshot(): Snapshot {
    return {
      isReady: this.#decided !== undefined && this.#loop.lastError === undefined,
      startedAt: this.#startedAt,
      decided: this.#decided,
      failover: this.#failover.state,
      ports: this.#ports.state,
      attachments: this.#attachments.list(),
      node: this.#observation.node,
      nodes: this.#observation.nodes,
      missing: this.#observation.missing,
      isStale: this.#observation.isStale,
      applyFailure: this.#loop.lastError?.message,
      reportFailure: this.#reporting.lastError?.message,
      podProblems: this.#pods.problems,
      watches: this.#observation.watches,
      ...this.#failover.seen,
    }
  }

  async start(signal: AbortSignal): Promise<void> {
    const { datapath, clock } = this.#options
    this.#lingering.restore(datapath.present('egress_ips'), clock.monotonicMs())
    this.#networkChanged()
    const stopResync = clock.every(resyncMs, () => {
      this.#stackRules = undefined
      this.#networkChanged()
    })
    try {
      await Promise.all([
        this.#ports.start(signal),
        this.#observation.start(signal),
        this.#loop.start(signal),
        this.#reporting.start(signal),
        this.#failover.start(signal),
        this.#followNetwork(signal),
        this.#natLog.run(signal),
      ])
    } finally {
      stopResync()
    }
  }

  async #followNetwork(signal: AbortSignal): Promise<void> {
    for await (const _change of this.#options.networkChanges(signal)) this.#networkChanged()
  }

  #networkChanged(): void {
    this.#network = undefined
    this.#reconcileNow()
  }

  /** Changes of API objects do not change this node's network, so it is not read again. */
  #reconcileNow(): void {
    this.#loop.trigger()
    this.#reporting.trigger()
  }

  #settle(): Promise<void> {
    this.#network = undefined
    return this.#loop.settle()
  }

  async #reconcile(): Promise<void> {
    try {
      await this.#decideAndApply()
    } catch (error) {
      this.#network = undefined
      throw error
    }
  }

  /** Before every watch has finished its first list, a missing object may only not have arrived yet. */
  async #decideAndApply(): Promise<void> {
    const { netlink, clock, log, onReady } = this.#options
    if (!this.#observation.hasSynced) return
    const isNetworkKnown = this.#network !== undefined
    this.#network ??= observeNetwork(netlink)
    this.#pods.observe(this.#network.devices)
    const attachments = this.#attachments.list()
    const devices = withoutPods(this.#network.devices, attachments)
    this.#devices = devices
    this.#ownDevices = withoutAdded(devices, new Set(this.#failover.state.held.keys()))
    this.#stackRules ??= this.#options.listStackRules?.()
    const world = this.#observeWorld(this.#network)
    const membership = this.#membership()
    if (!membership.isMember) this.#failover.dispatch({ kind: 'membershipLost', reason: membership.message })
    const tables = resolve(world)
    const ended = endedAddresses(world, this.#options, conflictsOf(this.#failover.state))
    const lingering = this.#lingering.update(tables, world, clock.monotonicMs(), ended)
    this.#natLog.observe(attachments, tables.policies)
    const decision = { tables, lingering, devices }
    if (membership.isMember) this.#failover.dispatch({ kind: 'ownDecided', ...decision })
    const applied = await this.#applier.apply({
      ...decision,
      world,
      ownDevices: this.#ownDevices,
      attachments,
      unusable: unusableAddresses(this.#failover.state),
      isEncrypted: hasIPsec(this.#stackRules),
      isNetworkKnown,
    })
    for (const repair of applied.hooks.repairs) log.warn(repair)
    this.#ports.dispatch({ kind: 'applied', world, tables })
    if (membership.isMember) this.#failover.dispatch({ kind: 'tablesApplied', ...decision })
    if (!isReportedAlike({ tables, lingering, applied }, this.#decided)) this.#reporting.trigger()
    if (this.#decided === undefined) onReady()
    this.#decided = { world, tables, lingering, applied }
  }

  /** The world that this node decides by. Only the loop may read it, because that updates what the node has seen of leases. */
  #observeWorld({ ownAddresses }: NodeNetwork): World {
    const observed = this.#observation.world(this.#options.configuration)
    this.#ports.dispatch({ kind: 'observed', world: observed })
    const own = {
      sharesAddress: this.#options.sharesAddress,
      isEnabled: this.#options.configuration.enableEgressGateway,
      interfaces: this.#interfaces(),
      reachability: reachabilityOf(this.#failover.state, observed.nodes),
      ownAddresses,
      ownLeases: this.#ports.own,
      ...this.#lingering.known,
    }
    return composeWorld(withOwnKnowledge(observed, own), this.#observation.pods, this.#attachments.list())
  }

  #membership(): Membership {
    return membershipOf({
      self: this.#options.self,
      node: this.#observation.node,
      hasEgressNode: this.#observation.egressNode !== undefined,
      addresses: new Set(this.#ownDevices.flatMap(({ addresses }) => addresses)),
    })
  }

  #interfaces() {
    const known = {
      rules: this.#stackRules,
      node: this.#observation.node,
      settings: this.#options.configuration,
    }
    return reportedInterfaces(this.#devices, { held: this.#failover.state.held, ...known })
  }

  async #report(): Promise<void> {
    if (!this.#observation.hasSynced || this.#devices.length === 0) return
    const { clock, configuration } = this.#options
    const { egressNode, node, nodes } = this.#observation
    const tables = this.#decided?.tables
    const status = describeNode({
      node,
      interfaces: this.#interfaces(),
      sharesAddress: configuration.isChained ? this.#options.sharesAddress : undefined,
      membership: this.#membership(),
      ...reportFailover(this.#failover.state, nodes),
      lingering: describeLingering(this.#decided, this.#ports.state.flows),
      tables,
      ...this.#paced.next(tables, egressNode?.status, nodes.length),
      applied: this.#decided?.applied,
      stack: stackUseOf(this.#stackRules, tables, configuration),
      tunnelPort: configuration.tunnelPort,
      before: egressNode?.status?.conditions ?? [],
      now: new Date(clock.now()).toISOString(),
    })
    await report(this.#egressNodes, egressNode, status)
  }
}
