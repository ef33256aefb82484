import type { CiliumEgressGatewayPolicy } from '../../src/api/cilium-egress-gateway-policy.ts'
import type { EgressAddress } from '../../src/api/egress-address.ts'
import type { EgressNode } from '../../src/api/egress-node.ts'
import type { IsovalentEgressGatewayPolicy } from '../../src/api/isovalent-egress-gateway-policy.ts'
import { kinds } from '../../src/api/kinds.ts'
import { withReportedAddresses } from '../../src/decide/gateways/node-addresses.ts'
import type { World, WorldPod } from '../../src/decide/world.ts'
import { type KubeNode, trimNode } from '../../src/kube/cluster-objects.ts'
import type { Address } from '../../src/net/address.ts'
import { contains, parsePrefix, prefixLength } from '../../src/net/prefix.ts'
import { naiveOutcome } from '../support/naive-resolver.ts'
import type { Cluster } from './cluster.ts'
import type { SimulatedPod } from './pods.ts'

/** What the API server says now, as one process would know it that has heard everything. */
export function worldOf(cluster: Cluster): World {
  const { api, configuration, pods } = cluster
  const egressNodes = api.objects(kinds.egressNode) as unknown as readonly EgressNode[]
  const nodes = api.objects({ group: '', plural: 'nodes' }) as unknown as readonly KubeNode[]
  const { slots, isChained, networkPolicies, stackCIDRs, nonMasqueradeCIDRs, ports, replacesKubeProxy } =
    configuration
  return {
    self: '',
    nodes: withReportedAddresses(nodes.map(trimNode), egressNodes),
    namespaces: [{ name: 'default', labels: {} }],
    pods: pods.map((pod) => worldPod(pod, cluster)),
    ciliumPolicies: api.objects(
      kinds.ciliumEgressGatewayPolicy,
    ) as unknown as readonly CiliumEgressGatewayPolicy[],
    isovalentPolicies: api.objects(
      kinds.isovalentEgressGatewayPolicy,
    ) as unknown as readonly IsovalentEgressGatewayPolicy[],
    egressNodes,
    egressAddresses: api.objects(kinds.egressAddress) as unknown as readonly EgressAddress[],
    settings: { slots, isChained, networkPolicies, stackCIDRs, nonMasqueradeCIDRs, ports, replacesKubeProxy },
  }
}

export function worldPod({ name, uid, labels, machine, address }: SimulatedPod, cluster: Cluster): WorldPod {
  return {
    name,
    uid,
    labels,
    namespace: 'default',
    nodeName: cluster.member(machine.name).nodeName,
    ips: address === undefined ? [] : [address],
    hostNetwork: false,
  }
}

/**
 * Every address that a pod's flows to a destination may have, whichever gateways live and are in use; or `masquerade`. By the oracle of
 * the property tests, in a world in which every gateway is healthy and in use.
 */
export function allowedAddresses(
  cluster: Cluster,
  world: World,
  pod: WorldPod,
  destination: string,
): readonly string[] {
  if (!world.nodes.some(({ name }) => name === pod.nodeName)) return []
  const everybody: World = {
    ...world,
    nodes: world.nodes.map((node) => ({ ...node, isReady: true, isCordoned: false })),
    /* What a node's devices have its agent knows before the API server does. */
    egressNodes: [...cluster.members.values()].map(({ nodeName, spec }) => ({
      metadata: { name: nodeName },
      status: {
        interfaces: [
          { name: 'eth0', addresses: [spec.address], isDefaultRoute: true },
          { name: 'net0', addresses: [...spec.egressAddresses], isDefaultRoute: false },
        ],
      },
    })),
    isovalentPolicies: world.isovalentPolicies.map((policy) => {
      const { azAffinity: _, ...spec } = policy.spec
      return {
        ...policy,
        spec: {
          ...spec,
          egressGroups: spec.egressGroups.map(({ maxGatewayNodes: __, ...group }) => group),
        },
      }
    }),
  }
  return naiveOutcome(everybody, pod, destination).split(' ')
}

/** The policy that claims a pod's packets to a destination, by kind and name: of those with the longest prefix the oldest. */
export function policyOf(world: World, pod: WorldPod, destination: Address): string | undefined {
  const claims = [...world.ciliumPolicies, ...world.isovalentPolicies].flatMap((policy) => {
    const isSelected = policy.spec.selectors.some(({ podSelector }) =>
      Object.entries(podSelector?.matchLabels ?? {}).every(([key, value]) => pod.labels[key] === value),
    )
    if (!isSelected) return []
    return policy.spec.destinationCIDRs.flatMap((text) => {
      const prefix = parsePrefix(text)
      return prefix !== undefined && contains(prefix, destination)
        ? [{ name: `${policy.kind} ${policy.metadata.name}`, length: prefixLength(prefix), policy }]
        : []
    })
  })
  const born = ({ policy }: (typeof claims)[number]): string =>
    `${policy.metadata.creationTimestamp} ${policy.metadata.name}`
  return claims.sort((a, b) => b.length - a.length || (born(a) < born(b) ? -1 : 1))[0]?.name
}
