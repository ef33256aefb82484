import { isDeepStrictEqual } from 'node:util'
import type { UnroutedPolicy } from '../api/egress-node.ts'
import type { Datapath } from '../datapath/datapath.ts'
import { resolveNodeMacs } from '../decide/gateways/node-macs.ts'
import type { StackWatch } from '../decide/status/stack-losses.ts'
import type { EgressIp, Tables } from '../decide/tables.ts'
import type { World } from '../decide/world.ts'
import type { Machine } from '../linux/machine.ts'
import type { Netlink } from '../linux/netlink.ts'
import type { Wanted } from '../linux/route-lookup.ts'
import type { Route } from '../linux/routes.ts'
import type { Address } from '../net/address.ts'
import type { Prefix } from '../net/prefix.ts'
import type { Clock } from '../runtime/clock.ts'
import { type HookFindings, hookDevices, planHooks } from './node/attached-devices.ts'
import { ensureForwarding, removeForwarding } from './node/forwarding-device.ts'
import { HandedPackets } from './node/handed-packets.ts'
import { HealthChecks } from './node/health-checks.ts'
import { linkServices, syncLinkServices } from './node/link-services.ts'
import { boundDevices, selectNativeDevices } from './node/native-devices.ts'
import { nodesOnLinks, RouteFinder, withNotedAnswers } from './node/node-links.ts'
import { ensureOverlay, type NodeDevice, portsToReserve, prepareKernel } from './node/node-network.ts'
import {
  ensureServiceWire,
  removeServiceWire,
  type ServiceWire,
  serviceRoutes,
} from './node/service-device.ts'
import { syncRoutes, tunnelRoutes } from './node/tunnel-routes.ts'
import { UnroutedDestinations } from './node/unrouted-destinations.ts'
import { type Links, type Overlay, planDatapath } from './plan.ts'
import type { Attachment } from './pods/attachments.ts'

/** The part of the configuration that shapes this node's network. */
interface NetworkSettings {
  /**
   * Name patterns of native devices. If empty, devices with the tunnel's address or a default route are native. Devices with
   * an egress IP always are.
   */
  readonly devices: readonly string[]
  readonly tunnelPort: number
  /** The MTU of pods. 0 means what the underlay leaves. */
  readonly mtu: number
  readonly isChained: boolean
  /** Chained: policies can use the node's own address. */
  readonly sharesAddress: boolean
  readonly servicesByStack: boolean
  readonly forwardsByStack: boolean
  readonly replacesKubeProxy: boolean
  /** Packets may go to nodes on the same link without a tunnel. */
  readonly usesLinks: boolean
}

/** The interfaces to this node's kernel. */
interface Kernel {
  readonly datapath: Datapath
  readonly netlink: Netlink
  readonly machine: Machine
  readonly hasRoute?: (wanted: Wanted) => boolean
  readonly clock: Pick<Clock, 'monotonicMs'>
}

export interface Applied {
  readonly overlay: Overlay
  readonly nativeDevices: readonly NodeDevice[]
  readonly hooks: HookFindings
  /** What is wrong with the ports that load balancers ask, one sentence each. */
  readonly healthCheckProblems: readonly string[]
  /** Undefined if nothing is known of routes. */
  readonly unrouted: readonly UnroutedPolicy[] | undefined
  /** Why packets do not leave this node's stack. */
  readonly stackLoss: StackWatch['loss']
}

interface Decision {
  readonly tables: Tables
  /** By which the tables were decided. */
  readonly world: World
  readonly devices: readonly NodeDevice[]
  /** The same devices, without the egress IPs that the agent added. */
  readonly ownDevices: readonly NodeDevice[]
  readonly attachments: readonly Attachment[]
  readonly lingering: ReadonlyMap<Address, EgressIp>
  /** Egress IPs of this node that another host may have. */
  readonly unusable: ReadonlySet<Address>
  /** IPsec policies of the node encrypt what it sends. A packet on the link path would go around them. */
  readonly isEncrypted: boolean
  /** The node's network has not changed since the last call, so what was derived from it is still right. */
  readonly isNetworkKnown: boolean
}

/** Brings the kernel to the decided state. Applying the same decision twice changes nothing the second time. */
export class Applier {
  readonly #kernel: Kernel
  readonly #settings: NetworkSettings
  #overlay: (Overlay & { readonly madeFor: string }) | undefined
  #routes: readonly Route[] | undefined
  /** Those that have their routes. */
  #routed: (Pick<Tables, 'services' | 'cluster'> & { readonly subnets: readonly Prefix[] }) | undefined
  #isServiceWireRemoved = false
  readonly #nodeRoutes: RouteFinder
  #writtenLinks: Links['links'] = new Map()
  readonly #unrouted: UnroutedDestinations
  readonly #handed: HandedPackets
  #policies: Tables['policies'] = new Map()
  readonly #healthChecks = new HealthChecks()

  constructor(kernel: Kernel, settings: NetworkSettings) {
    this.#kernel = kernel
    this.#settings = settings
    this.#nodeRoutes = new RouteFinder(kernel.netlink)
    this.#unrouted = new UnroutedDestinations(kernel)
    this.#handed = new HandedPackets(kernel)
  }

  /** Writes the tables before it attaches programs, so that no packet meets a program with empty tables. */
  async apply({ isNetworkKnown, ...decision }: Decision): Promise<Applied> {
    const { tables, world, devices, ownDevices, attachments, lingering, unusable } = decision
    const { datapath } = this.#kernel
    if (!isNetworkKnown) this.#forgetNetwork()
    const overlay = this.#prepare(tables.self.tunnelAddress, ownDevices, world)
    const nativeDevices = selectNativeDevices(
      devices,
      this.#settings.devices,
      tables.self.tunnelAddress,
      (address) => tables.egressIps.has(address) || lingering.has(address),
    )
    const wanted = planHooks({ overlay, devices, nativeDevices, attachments }, this.#settings)
    const known = {
      lingering,
      unusable,
      bound: boundDevices(devices),
      links: this.#links(decision, nativeDevices),
    }
    await datapath.apply(
      planDatapath(tables, attachments, overlay, known),
      wanted.filter(({ program }) => program === 'to_world'),
    )
    this.#forgetPolicies(tables.policies)
    const hooks = hookDevices(datapath, wanted)
    if (!this.#settings.forwardsByStack) removeForwarding(this.#kernel.netlink, devices)
    this.#route(tunnelRoutes(tables, overlay), overlay)
    this.#routeServices(tables, devices, overlay)
    const healthCheckProblems = await this.#healthChecks.apply(tables.healthChecks)
    const inside = [...world.nodes.flatMap(({ podCIDRs }) => podCIDRs), ...world.settings.stackCIDRs]
    const unrouted = this.#unrouted.list(tables.carried, { devices, inside })
    const stackLoss = this.#settings.forwardsByStack ? this.#handed.look() : undefined
    return { overlay, nativeDevices, hooks, healthCheckProblems, unrouted, stackLoss }
  }

  #links(
    {
      tables,
      lingering,
      world,
      isEncrypted,
    }: Pick<Decision, 'tables' | 'lingering' | 'world' | 'isEncrypted'>,
    nativeDevices: readonly NodeDevice[],
  ): Links | undefined {
    if (!this.#settings.usesLinks) return undefined
    const { ofTunnel, owners } = resolveNodeMacs(world)
    const routeTo = (address: Address): Route | undefined => this.#nodeRoutes.find(address)
    const decided = { ofTunnel, egressIps: tables.egressIps, lingering }
    const wanted = isEncrypted ? new Map() : nodesOnLinks(decided, nativeDevices, routeTo)
    const { links } = this.#kernel.datapath.tables
    this.#writtenLinks = withNotedAnswers(wanted, this.#writtenLinks, (node) => links.get(node))
    return { links: this.#writtenLinks, linkMacs: owners }
  }

  /** What the programs count by policy stays in their tables until the policy is gone. */
  #forgetPolicies(policies: Tables['policies']): void {
    if (policies.size === this.#policies.size && [...policies.keys()].every((id) => this.#policies.has(id)))
      return
    this.#policies = policies
    const { policy_drops, ended_flows } = this.#kernel.datapath.tables
    const isGone = (id: bigint): boolean => id !== 0n && !policies.has(id)
    for (const [key] of [...policy_drops.entries()]) if (isGone(key.policy)) policy_drops.delete(key)
    for (const [key] of [...ended_flows.entries()]) if (isGone(key.policy)) ended_flows.delete(key)
  }

  #forgetNetwork(): void {
    this.#overlay = this.#routes = this.#routed = undefined
    this.#nodeRoutes.forget()
    this.#unrouted.forget()
  }

  #prepare(tunnelAddress: Address, devices: readonly NodeDevice[], world: World): Overlay {
    const podCIDRs = world.nodes.find(({ name }) => name === world.self)?.podCIDRs ?? []
    const madeFor = [tunnelAddress, ...podCIDRs].join(' ')
    if (this.#overlay?.madeFor === madeFor) return this.#overlay
    const { tunnelPort: port, mtu } = this.#settings
    const overlay = ensureOverlay(this.#kernel.netlink, devices, { port, mtu, tunnelAddress })
    const { servicesByStack, forwardsByStack } = this.#settings
    const isStackUsed = servicesByStack || forwardsByStack
    prepareKernel(this.#kernel.machine, { reserved: portsToReserve(this.#settings), isStackUsed }, devices)
    const forwardIfindex = forwardsByStack
      ? ensureForwarding(this.#kernel.netlink, this.#kernel.machine, overlay)
      : undefined
    const services = this.#prepareServices(podCIDRs, overlay.mtu)
    this.#overlay = {
      ...overlay,
      madeFor,
      ...(forwardIfindex === undefined ? {} : { forwardIfindex }),
      ...(services === undefined ? {} : { services }),
    }
    return this.#overlay
  }

  #prepareServices(podCIDRs: readonly Prefix[], mtu: number): ServiceWire | undefined {
    const { netlink, machine } = this.#kernel
    if (this.#settings.replacesKubeProxy) return ensureServiceWire(netlink, machine, { podCIDRs, mtu })
    /* The setting does not change while the agent runs. */
    if (!this.#isServiceWireRemoved) removeServiceWire(netlink)
    this.#isServiceWireRemoved = true
    return undefined
  }

  #route(routes: readonly Route[], overlay: Overlay): void {
    if (isDeepStrictEqual(this.#routes, routes)) return
    this.#routes = undefined
    syncRoutes(this.#kernel.netlink, overlay.ifindex, routes)
    this.#routes = routes
  }

  #routeServices(tables: Tables, devices: readonly NodeDevice[], { services: wire, mtu }: Overlay): void {
    const { services, cluster } = tables
    if (wire === undefined) return
    const subnets = devices.flatMap((device) => device.subnets)
    const key = { services, cluster, subnets }
    if (this.#routed?.services === services && isDeepStrictEqual(this.#routed, key)) return
    this.#routed = undefined
    const { netlink } = this.#kernel
    syncRoutes(netlink, wire.hostIfindex, serviceRoutes(services, wire, mtu))
    syncLinkServices(netlink, wire, linkServices(tables, subnets, wire, mtu))
    this.#routed = key
  }
}
