import type { CiliumEgressGatewayPolicy } from '../api/cilium-egress-gateway-policy.ts'
import type { EgressAddress } from '../api/egress-address.ts'
import type { EgressNode } from '../api/egress-node.ts'
import type { IsovalentEgressGatewayPolicy } from '../api/isovalent-egress-gateway-policy.ts'
import { kinds } from '../api/kinds.ts'
import { withReportedAddresses } from '../decide/gateways/node-addresses.ts'
import type { Settings } from '../decide/world.ts'
import type { KubeClient, KubeObject, ResourceName } from '../kube/client.ts'
import {
  clusterResource,
  coreResource,
  dropManagedFields,
  type TrimmedNode,
  trimNode,
} from '../kube/cluster-objects.ts'
import { Mirror } from '../kube/mirror.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import type { WatchView } from '../runtime/metrics/watches.ts'
import type { Random } from '../runtime/random.ts'
import type { OperatorWorld } from './decisions.ts'

/** The operator's watches. It watches no pods, because no decision depends on a pod. */
export class Observation {
  readonly #nodes
  readonly #ciliumPolicies
  readonly #isovalentPolicies
  readonly #egressNodes
  readonly #egressAddresses

  constructor(
    client: KubeClient,
    options: {
      readonly clock: Clock
      readonly random: Random
      readonly log: Logger
      readonly onChange: () => void
    },
  ) {
    const mirror = <T extends KubeObject, V>(name: ResourceName, trim: (object: T) => V) =>
      new Mirror<T, V>(client.resource<T>(name), { ...options, trim })
    this.#nodes = mirror(coreResource('nodes', false), trimNode)
    this.#ciliumPolicies = mirror(
      clusterResource(kinds.ciliumEgressGatewayPolicy),
      dropManagedFields<CiliumEgressGatewayPolicy>,
    )
    this.#isovalentPolicies = mirror(
      clusterResource(kinds.isovalentEgressGatewayPolicy),
      dropManagedFields<IsovalentEgressGatewayPolicy>,
    )
    this.#egressNodes = mirror(clusterResource(kinds.egressNode), dropManagedFields<EgressNode>)
    this.#egressAddresses = mirror(clusterResource(kinds.egressAddress), dropManagedFields<EgressAddress>)
  }

  #all() {
    return [
      this.#nodes,
      this.#ciliumPolicies,
      this.#isovalentPolicies,
      this.#egressNodes,
      this.#egressAddresses,
    ]
  }

  async start(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#all().map((mirror) => mirror.start(signal)))
  }

  get watches(): readonly WatchView[] {
    return this.#all().map(({ view }) => view)
  }

  get hasSynced(): boolean {
    return this.#all().every((mirror) => mirror.hasSynced)
  }

  get nodes(): readonly TrimmedNode[] {
    return withReportedAddresses([...this.#nodes.items.values()], this.egressNodes)
  }

  get egressNodes(): readonly EgressNode[] {
    return [...this.#egressNodes.items.values()]
  }

  world(settings: Settings): OperatorWorld {
    return {
      settings,
      nodes: this.nodes,
      namespaces: [],
      pods: [],
      ciliumPolicies: [...this.#ciliumPolicies.items.values()],
      isovalentPolicies: [...this.#isovalentPolicies.items.values()],
      egressNodes: this.egressNodes,
      egressAddresses: [...this.#egressAddresses.items.values()],
    }
  }
}
