import type { CiliumEgressGatewayPolicy } from '../api/cilium-egress-gateway-policy.ts'
import type { EgressAddress } from '../api/egress-address.ts'
import type { EgressNode } from '../api/egress-node.ts'
import type { IsovalentEgressGatewayPolicy } from '../api/isovalent-egress-gateway-policy.ts'
import { kinds } from '../api/kinds.ts'
import { withReportedAddresses } from '../decide/gateways/node-addresses.ts'
import { readEgressRestriction } from '../decide/policies/network-policies.ts'
import type {
  EgressRestriction,
  Settings,
  World,
  WorldEndpoints,
  WorldNode,
  WorldService,
} from '../decide/world.ts'
import type { KubeClient, KubeObject, ResourceName } from '../kube/client.ts'
import {
  clusterResource,
  coreResource,
  type KubeEndpointSlice,
  type KubeNetworkPolicy,
  type KubePod,
  type KubeService,
  trimNode,
} from '../kube/cluster-objects.ts'
import { type Change, Mirror } from '../kube/mirror.ts'
import type { ListOptions } from '../kube/resource.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import {
  endpointSliceResource,
  outsideEndpointSlices,
  serviceResource,
  steadyList,
  trimEndpoints,
  trimOutsideService,
  trimService,
  watchedServices,
} from './observe-services.ts'
import { trimEgressAddress, trimEgressNode, trimPolicy } from './trim-objects.ts'
import type { ObservedPod } from './world.ts'

export const podResource = coreResource('pods', true)
const networkPolicyResource = {
  group: 'networking.k8s.io',
  version: 'v1',
  plural: 'networkpolicies',
  isNamespaced: true,
}
export const egressNodeResource = clusterResource(kinds.egressNode)

interface ObservationOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Called if something changed that a pod or another node may wait for. */
  readonly onUrgentChange: () => void
  /** Called if something changed that can wait for the interval of background reconciliations. */
  readonly onChange: () => void
  /** Whether a change has to be applied now. Otherwise it is applied at the next reconciliation. */
  readonly concerns: {
    readonly egressNode: (change: Change<EgressNode>) => boolean
    readonly egressAddress: (change: Change<EgressAddress>) => boolean
  }
  /** It says what else the agent watches. The agent needs no right to read what it does not watch. */
  readonly configuration: Pick<Settings, 'isChained' | 'replacesKubeProxy' | 'networkPolicies'>
}

/** The agent's watches. It watches only its own node's pods, so that its load does not depend on other nodes' pods. */
export class Observation {
  readonly #nodes
  readonly #namespaces
  readonly #pods
  readonly #ciliumPolicies
  readonly #isovalentPolicies
  readonly #egressNodes
  readonly #egressAddresses
  readonly #networkPolicies: Mirror<KubeNetworkPolicy, EgressRestriction | undefined> | undefined
  readonly #services: Mirror<KubeService, WorldService | undefined> | undefined
  readonly #endpoints: Mirror<KubeEndpointSlice, WorldEndpoints | undefined> | undefined
  readonly #self: string
  readonly #steadyServices = steadyList<WorldService>()
  readonly #steadyEndpoints = steadyList<WorldEndpoints>()

  constructor(client: KubeClient, self: string, options: ObservationOptions) {
    const { clock, random, log, onChange, onUrgentChange, concerns } = options
    const mirror = <T extends KubeObject, V>(
      name: ResourceName,
      trim: (object: T) => V,
      listing: ListOptions & { readonly mayLag?: boolean } = {},
      isUrgent?: (change: Change<V>) => boolean,
    ) =>
      new Mirror<T, V>(client.resource<T>(name), {
        ...listing,
        clock,
        random,
        log,
        trim,
        onChange: (change) => {
          if (change === undefined || isUrgent?.(change)) onUrgentChange()
          else if (isUrgent === undefined) onChange()
        },
      })
    this.#self = self
    /* These objects are many, and all agents list them at the same moment when an API server comes back. */
    const mayLag = { mayLag: true }
    this.#nodes = mirror(coreResource('nodes', false), trimNode, mayLag)
    this.#namespaces = mirror(
      coreResource('namespaces', false),
      ({ metadata: { name, labels = {} } }: KubeObject) => ({ name, labels }),
      mayLag,
    )
    this.#pods = mirror(podResource, trimPod, { fieldSelector: `spec.nodeName=${self}`, ...mayLag })
    this.#ciliumPolicies = mirror(
      clusterResource(kinds.ciliumEgressGatewayPolicy),
      trimPolicy<CiliumEgressGatewayPolicy>,
    )
    this.#isovalentPolicies = mirror(
      clusterResource(kinds.isovalentEgressGatewayPolicy),
      trimPolicy<IsovalentEgressGatewayPolicy>,
    )
    this.#egressNodes = mirror(
      egressNodeResource,
      (object: EgressNode) => trimEgressNode(object, self),
      {},
      concerns.egressNode,
    )
    this.#egressAddresses = mirror(
      clusterResource(kinds.egressAddress),
      trimEgressAddress,
      {},
      concerns.egressAddress,
    )
    if (options.configuration.networkPolicies !== 'bypass')
      this.#networkPolicies = mirror(
        networkPolicyResource,
        ({ metadata, spec = {} }: KubeNetworkPolicy) => readEgressRestriction(metadata, spec),
        mayLag,
      )
    const watched = watchedServices(options.configuration)
    if (watched !== 'none') {
      const isAll = watched === 'all'
      this.#services = mirror(serviceResource, isAll ? trimService : trimOutsideService, mayLag)
      this.#endpoints = mirror(endpointSliceResource, trimEndpoints, {
        ...(isAll ? {} : outsideEndpointSlices),
        ...mayLag,
      })
    }
  }

  #all() {
    return [
      this.#nodes,
      this.#namespaces,
      this.#pods,
      this.#ciliumPolicies,
      this.#isovalentPolicies,
      this.#egressNodes,
      this.#egressAddresses,
      ...(this.#networkPolicies === undefined ? [] : [this.#networkPolicies]),
      ...(this.#services === undefined ? [] : [this.#services]),
      ...(this.#endpoints === undefined ? [] : [this.#endpoints]),
    ]
  }

  /** Runs until the signal. */
  async start(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#all().map((mirror) => mirror.start(signal)))
  }

  get watches() {
    return this.#all().map(({ view }) => view)
  }

  /** Whether every watch has finished its first list. Before that, a missing object may only not have arrived yet. */
  get hasSynced(): boolean {
    return this.#all().every((mirror) => mirror.hasSynced)
  }

  /** Resolves when every watch has listed again. A first list counts. */
  async relist(): Promise<void> {
    await Promise.all(this.#all().map((mirror) => (mirror.hasSynced ? mirror.relist() : mirror.synced)))
  }

  get isStale(): boolean {
    return this.#all().some((mirror) => mirror.isStale)
  }

  /** Nothing of the API server reaches this node. */
  get receivesNothing(): boolean {
    return this.#all().every((mirror) => mirror.isStale)
  }

  /** The kinds that were never listed, and why. Missing rights show here. */
  get missing(): readonly string[] {
    return this.#all()
      .filter(({ hasSynced }) => !hasSynced)
      .map(({ name, failure }) => (failure === undefined ? name : `${name} (${failure})`))
  }

  get pods(): readonly ObservedPod[] {
    return [...this.#pods.items.values()]
  }

  pod(namespace: string, name: string): ObservedPod | undefined {
    return this.#pods.items.get(`${namespace}/${name}`)
  }

  get egressNode(): EgressNode | undefined {
    return this.#egressNodes.items.get(this.#self)
  }

  get nodes(): readonly WorldNode[] {
    return withReportedAddresses([...this.#nodes.items.values()], [...this.#egressNodes.items.values()])
  }

  get node(): WorldNode | undefined {
    const node = this.#nodes.items.get(this.#self)
    const egressNode = this.egressNode
    return node && withReportedAddresses([node], egressNode === undefined ? [] : [egressNode])[0]
  }

  world(settings: Settings): Omit<World, 'pods'> {
    return {
      self: this.#self,
      settings,
      nodes: this.nodes,
      namespaces: [...this.#namespaces.items.values()],
      ciliumPolicies: [...this.#ciliumPolicies.items.values()],
      isovalentPolicies: [...this.#isovalentPolicies.items.values()],
      egressNodes: [...this.#egressNodes.items.values()],
      egressAddresses: [...this.#egressAddresses.items.values()],
      services: this.#steadyServices(
        [...(this.#services?.items.values() ?? [])].flatMap((each) => each ?? []),
      ),
      endpoints: this.#steadyEndpoints(
        [...(this.#endpoints?.items.values() ?? [])].flatMap((each) => each ?? []),
      ),
      networkPolicies: [...(this.#networkPolicies?.items.values() ?? [])].flatMap((each) => each ?? []),
    }
  }
}

export function trimPod({ metadata, spec }: KubePod): ObservedPod {
  return {
    uid: metadata.uid ?? '',
    name: metadata.name,
    namespace: metadata.namespace ?? '',
    labels: metadata.labels ?? {},
    nodeName: spec.nodeName ?? '',
    hostNetwork: spec.hostNetwork ?? false,
    ...(spec.serviceAccountName === undefined ? {} : { serviceAccount: spec.serviceAccountName }),
  }
}
