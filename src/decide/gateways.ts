import type { NodeInterface } from '../api/egress-node.ts'
import { type Address, compareAddresses, type Family, familyOf, parseAddress } from '../net/address.ts'
import { fnv1a32 } from './ids.ts'
import type { AddressChoice, Exit, Policy } from './policies.ts'
import { matches } from './select.ts'
import type { World, WorldNode, WorldPod } from './world.ts'

/** A node that a policy selects, with the address of each family that traffic leaves with there. */
export interface Gateway {
  readonly node: WorldNode
  readonly egressIps: Readonly<Partial<Record<Family, Address>>>
}

export const zoneLabel = 'topology.kubernetes.io/zone'

/** Interfaces by node, as their agents say. */
export function interfacesByNode(world: World): ReadonlyMap<string, readonly NodeInterface[]> {
  return new Map(world.egressNodes.map((node) => [node.metadata.name, node.status?.interfaces ?? []]))
}

/** All nodes that an exit selects, by name. A node without an address of its own cannot be reached, so it is none. */
export function gatewaysOf(
  exit: Exit,
  nodes: readonly WorldNode[],
  interfaces: ReadonlyMap<string, readonly NodeInterface[]>,
): Gateway[] {
  return nodes
    .filter((node) => node.internalIPs.length > 0 && matches(exit.nodeSelector, node.labels))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((node) => ({ node, egressIps: addressesOf(exit.address, interfaces.get(node.name) ?? []) }))
}

/** First IPv4, and first IPv6 that is not link-local. */
function addressesOf(choice: AddressChoice, interfaces: readonly NodeInterface[]): Gateway['egressIps'] {
  if (choice.by === 'address') return { [familyOf(choice.address)]: choice.address }
  const found =
    choice.by === 'interface'
      ? interfaces.find(
          ({ name, alternativeNames }) => name === choice.name || alternativeNames?.includes(choice.name),
        )
      : interfaces.find(({ isDefaultRoute }) => isDefaultRoute)
  const addresses = (found?.addresses ?? [])
    .map(parseAddress)
    .filter((address) => address !== undefined)
    .filter((address) => !/^fe[89ab]/.test(address))
  const [ipv4, ipv6] = ([4, 6] as const).map((family) =>
    addresses.find((address) => familyOf(address) === family),
  )
  return { ...(ipv4 === undefined ? {} : { 4: ipv4 }), ...(ipv6 === undefined ? {} : { 6: ipv6 }) }
}

/** What a policy's exits come to: for each exit the nodes, in the order of the exits. */
export type Exits = readonly (readonly Gateway[])[]

/**
 * Which gateways a pod's new flows may use. A pod under a policy with one gateway each gets its share of the exits by its
 * UID: entries sorted by their gateway's node IP, of those that match a node the one with number FNV-1a-32(UID) mod N.
 */
export function gatewaysForPod(
  policy: Policy,
  exits: Exits,
  pod: WorldPod,
  zone: string | undefined,
): readonly Gateway[] {
  if (policy.spread === 'all')
    return exits.flatMap((gateways, index) => activeGateways(policy, index, gateways, zone))
  const firsts = exits.flatMap((gateways) => gateways.slice(0, 1))
  const sorted = [...firsts].sort((a, b) =>
    compareAddresses(tunnelAddressOf(a.node), tunnelAddressOf(b.node)),
  )
  const picked = sorted[sorted.length === 0 ? 0 : fnv1a32(pod.uid) % sorted.length]
  return picked === undefined ? [] : [picked]
}

/** The gateways of a group that are in use for pods of one zone. */
export function activeGateways(
  policy: Policy,
  exitIndex: number,
  gateways: readonly Gateway[],
  zone: string | undefined,
): readonly Gateway[] {
  const limit = policy.exits[exitIndex]?.maxGatewayNodes ?? gateways.length
  const isLocal = ({ node }: Gateway): boolean => zone !== undefined && node.labels[zoneLabel] === zone
  const local = gateways.filter(isLocal)
  switch (policy.zoneAffinity) {
    case 'localOnly':
      return local.slice(0, limit)
    case 'localOnlyFirst':
      return (local.length > 0 ? local : gateways).slice(0, limit)
    case 'localPriority':
      return [...local, ...gateways.filter((gateway) => !isLocal(gateway))].slice(0, limit)
    case 'disabled':
      return gateways.slice(0, limit)
  }
}

/** Where the tunnel to a node ends. */
export function tunnelAddressOf(node: WorldNode): Address {
  const [first] = node.internalIPs
  if (first === undefined) throw new Error(`node ${node.name} has no InternalIP`)
  return first
}
