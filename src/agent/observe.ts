import { kinds } from '../api/crd.ts'
import type { CiliumEgressGatewayPolicy } from '../api/cilium-egress-gateway-policy.ts'
import type { EgressAddress } from '../api/egress-address.ts'
import type { EgressNode } from '../api/egress-node.ts'
import type { IsovalentEgressGatewayPolicy } from '../api/isovalent-egress-gateway-policy.ts'
import type { Settings, World, WorldNode } from '../decide/world.ts'
import type { KubeClient, KubeObject, ListOptions, ResourceName } from '../kube/client.ts'
import { Mirror } from '../kube/mirror.ts'
import { parseAddress } from '../net/address.ts'
import { parsePrefix } from '../net/prefix.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/log.ts'
import type { ObservedPod } from './world.ts'

interface KubeNode extends KubeObject {
  readonly spec?: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] }
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] }
}

export interface KubePod extends KubeObject {
  readonly spec: { readonly nodeName?: string; readonly hostNetwork?: boolean }
  readonly status?: { readonly phase?: string; readonly podIPs?: readonly { readonly ip: string }[] }
}

const core = (plural: string, isNamespaced: boolean): ResourceName => ({ group: '', version: 'v1', plural, isNamespaced })
const ours = ({ group, version, plural }: { group: string; version: string; plural: string }): ResourceName => ({
  group,
  version,
  plural,
  isNamespaced: false,
})

export const podResource = core('pods', true)
export const egressNodeResource = ours(kinds.egressNode)

/** The agent's watches. Only its own node's pods are among them: what others run does not weigh on it. */
export class Observation {
  readonly #nodes
  readonly #namespaces
  readonly #pods
  readonly #ciliumPolicies
  readonly #isovalentPolicies
  readonly #egressNodes
  readonly #egressAddresses
  readonly #self: string

  constructor(client: KubeClient, self: string, held: { clock: Clock; log: Logger; onChange: () => void }) {
    const mirror = <T extends KubeObject, V>(name: ResourceName, trim: (object: T) => V, options: ListOptions = {}) =>
      new Mirror<T, V>(client.resource<T>(name), { ...options, ...held, trim })
    this.#self = self
    this.#nodes = mirror(core('nodes', false), trimNode)
    this.#namespaces = mirror(core('namespaces', false), ({ metadata: { name, labels = {} } }: KubeObject) => ({ name, labels }))
    this.#pods = mirror(podResource, trimPod, { fieldSelector: `spec.nodeName=${self}` })
    this.#ciliumPolicies = mirror(ours(kinds.ciliumEgressGatewayPolicy), dropManagedFields<CiliumEgressGatewayPolicy>)
    this.#isovalentPolicies = mirror(ours(kinds.isovalentEgressGatewayPolicy), dropManagedFields<IsovalentEgressGatewayPolicy>)
    this.#egressNodes = mirror(egressNodeResource, dropManagedFields<EgressNode>)
    this.#egressAddresses = mirror(ours(kinds.egressAddress), dropManagedFields<EgressAddress>)
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
    ]
  }

  /** Until the signal. */
  async start(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#all().map((mirror) => mirror.start(signal)))
  }

  /** Every watch has finished its first list: before that, what is missing may only not have come yet. */
  get hasSynced(): boolean {
    return this.#all().every((mirror) => mirror.hasSynced)
  }

  get isStale(): boolean {
    return this.#all().some((mirror) => mirror.isStale)
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

  get node(): WorldNode | undefined {
    return this.#nodes.items.get(this.#self)
  }

  world(settings: Settings): Omit<World, 'pods'> {
    return {
      self: this.#self,
      settings,
      nodes: [...this.#nodes.items.values()],
      namespaces: [...this.#namespaces.items.values()],
      ciliumPolicies: [...this.#ciliumPolicies.items.values()],
      isovalentPolicies: [...this.#isovalentPolicies.items.values()],
      egressNodes: [...this.#egressNodes.items.values()],
      egressAddresses: [...this.#egressAddresses.items.values()],
    }
  }
}

export function trimNode({ metadata: { name, labels = {} }, spec, status }: KubeNode): WorldNode {
  const podCIDRs = spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR])
  return {
    name,
    labels,
    internalIPs: (status?.addresses ?? [])
      .filter(({ type }) => type === 'InternalIP')
      .flatMap(({ address }) => parseAddress(address) ?? []),
    podCIDRs: podCIDRs.flatMap((text) => parsePrefix(text) ?? []),
  }
}

export function trimPod({ metadata, spec, status }: KubePod): ObservedPod {
  return {
    uid: metadata.uid ?? '',
    name: metadata.name,
    namespace: metadata.namespace ?? '',
    labels: metadata.labels ?? {},
    nodeName: spec.nodeName ?? '',
    hostNetwork: spec.hostNetwork ?? false,
    hasEnded: status?.phase === 'Succeeded' || status?.phase === 'Failed',
  }
}

/** They are most of an object's bytes and none of its meaning. */
function dropManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields: _, ...metadata } = object.metadata as T['metadata'] & { managedFields?: unknown }
  return { ...object, metadata }
}
