import type { NodeInterface } from '../../api/egress-node.ts'
import {
  type Address,
  compareAddresses,
  type Family,
  familyOf,
  isLinkLocal,
  parseAddress,
} from '../../net/address.ts'
import { fnv1a32 } from '../ids.ts'
import type { AddressChoice, Exit, Policy } from '../policies/policies.ts'
import type { EgressIps } from '../pools/egress-pool.ts'
import type { WorldNode, WorldPod } from '../world.ts'
import { type Outage, outageOf } from './outages.ts'

/** A node that a policy selects, with its egress IP of each family. */
export interface Gateway {
  readonly node: WorldNode
  readonly egressIps: EgressIps
  /** Whether the node has these addresses now. An egress IP that the policy sets may be missing, or on another node. */
  readonly isHolding: boolean
  /** Its interface, which has an IPv6 address that no packet could leave with. */
  readonly unroutedIpv6?: string
  /** Its interface carries no traffic now. */
  readonly outage?: Outage
  /** Its agent has not said yet which interfaces it has. */
  readonly isUnreported?: true
}

export function hasEgressIp({ egressIps }: Gateway): boolean {
  return egressIps[4] !== undefined || egressIps[6] !== undefined
}

/** For each exit of a policy its gateways. */
export type Exits = readonly (readonly Gateway[])[]

/** The names of those that have an egress IP, each once. */
export const namesOfServing = (exits: Exits): readonly string[] => [
  ...new Set(
    exits
      .flat()
      .filter(hasEgressIp)
      .map(({ node }) => node.name),
  ),
]

export const zoneLabel = 'topology.kubernetes.io/zone'

type Interfaces = readonly NodeInterface[]

/** The nodes that can be a gateway, sorted by name. A node without an address cannot be reached, so it cannot be a gateway. */
export function nodesWithAddress(nodes: readonly WorldNode[]): readonly WorldNode[] {
  return nodes.filter(({ internalIPs }) => internalIPs.length > 0).sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The address to which other nodes send tunnel packets for this node. */
export function tunnelAddressOf(node: WorldNode): Address {
  const [first] = node.internalIPs
  if (first === undefined) throw new Error(`node ${node.name} has no InternalIP`)
  return first
}

/** The gateways of each policy's exits, by policy id. Equal exits share one list. */
export function gatewaysByPolicy(
  policies: readonly Policy[],
  nodes: readonly WorldNode[],
  interfaces: ReadonlyMap<string, Interfaces>,
): ReadonlyMap<bigint, Exits> {
  const alike = new Map<string, readonly Gateway[]>()
  const find = (exit: Exit): readonly Gateway[] => {
    const found = alike.get(exit.likeness ?? '') ?? gatewaysOf(exit, nodes, interfaces)
    if (exit.likeness !== undefined) alike.set(exit.likeness, found)
    return found
  }
  return new Map(policies.map(({ id, exits }) => [id, exits.map(find)]))
}

/** All nodes that an exit selects, in the order of `nodes`. A node that has the exit's egressIP comes first. */
export function gatewaysOf(
  exit: Exit,
  nodes: readonly WorldNode[],
  interfaces: ReadonlyMap<string, Interfaces>,
): readonly Gateway[] {
  const gateways = nodes
    .filter(({ labels }) => exit.selectsNode(labels))
    .map((node) => gatewayOf(exit.address, node, interfaces.get(node.name)))
  if (exit.address.by !== 'address') return gateways
  return gateways.toSorted((a, b) => Number(b.isHolding) - Number(a.isHolding))
}

function holdersOf(gateways: readonly Gateway[]): readonly Gateway[] {
  return gateways.filter(({ isHolding }) => isHolding)
}

/** On an interface without Ethernet headers no program sees the replies, so the gateway has no egress IP there. */
function gatewayOf(choice: AddressChoice, node: WorldNode, reported: Interfaces | undefined): Gateway {
  const interfaces = reported ?? []
  const addresses = addressesOf(choice, node, interfaces)
  const outage = outageOf(addresses.egressIps, interfaces)
  if (reported === undefined) return { node, ...addresses, isUnreported: true }
  if (outage === undefined) return { node, ...addresses }
  const egressIps = outage.problem === 'NoEthernetHeader' ? {} : addresses.egressIps
  return { node, ...addresses, egressIps, outage }
}

function addressesOf(choice: AddressChoice, node: WorldNode, interfaces: Interfaces): Omit<Gateway, 'node'> {
  if (choice.by === 'pool') {
    const egressIps = choice.granted.get(tunnelAddressOf(node)) ?? {}
    const present = new Set(interfaces.flatMap(({ addresses, added = [] }) => [...addresses, ...added]))
    return { egressIps, isHolding: Object.values(egressIps).every((address) => present.has(address)) }
  }
  if (choice.by === 'address')
    return {
      egressIps: { [familyOf(choice.address)]: choice.address },
      isHolding: interfaces.some(({ addresses }) =>
        addresses.some((text) => parseAddress(text) === choice.address),
      ),
    }
  const found = interfaces.find((each) =>
    choice.by === 'interface' ? isCalled(each, choice.name) : each.isDefaultRoute,
  )
  const egressIps = firstAddresses(found?.addresses ?? [])
  if (found?.isIPv6Unrouted !== true || egressIps[6] === undefined) return { egressIps, isHolding: true }
  const { 6: _unrouted, ...routed } = egressIps
  return { egressIps: routed, isHolding: true, unroutedIpv6: found.name }
}

export function isCalled({ name, alternativeNames = [] }: NodeInterface, called: string): boolean {
  return name === called || alternativeNames.includes(called)
}

/** The first IPv4 address and the first IPv6 address. Link-local addresses do not count. */
function firstAddresses(texts: readonly string[]): Gateway['egressIps'] {
  const first: { -readonly [F in keyof EgressIps]: EgressIps[F] } = {}
  for (const text of texts) {
    const address = parseAddress(text)
    if (address !== undefined && !isLinkLocal(address)) first[familyOf(address)] ??= address
  }
  return first
}

/** The gateways that a pod's new flows may use. */
export interface OpenGateways {
  readonly active: readonly Gateway[]
  /** New flows use these if no active gateway answers. */
  readonly standby: readonly Gateway[]
}

/** Names of nodes that take no new flows, because they are unhealthy or cordoned. */
export type IneligibleNodes = ReadonlySet<string>

/**
 * The gateways that a pod's new flows may use. Under a policy with one gateway per pod, the pod's UID chooses the exit.
 * Exits without a node are left out, and the N others are sorted by the node IP of their gateway. The pod uses number
 * FNV-1a-32(UID) mod N. Its gateway is the first match there, even while it is unhealthy: successors answer for its egress
 * IP. If it has no egress IP, `openForFamily` finds the next match.
 */
export function gatewaysForPod(
  policy: Policy,
  exits: Exits,
  pod: WorldPod,
  zone: string | undefined,
  ineligible: IneligibleNodes,
): OpenGateways {
  if (policy.spread === 'all') {
    const open = exits.map((gateways, which) => openGateways(policy, which, gateways, zone, ineligible))
    return { active: open.flatMap(({ active }) => active), standby: open.flatMap(({ standby }) => standby) }
  }
  const matched = exits.filter((gateways) => gateways.length > 0)
  const byAddress = matched.toSorted((a, b) => compareAddresses(firstAddressOf(a), firstAddressOf(b)))
  const [first, ...others] = byAddress[fnv1a32(pod.uid) % Math.max(byAddress.length, 1)] ?? []
  return first === undefined ? { active: [], standby: [] } : { active: [first], standby: others }
}

/**
 * Of the gateways that a pod may use, those with an egress IP of a family. If no active gateway has one, standby gateways
 * serve: under a policy with one gateway for each pod the next match, else all of them. A match that has not reported yet may
 * have an egress IP: until it says so, no other address is right.
 */
export function openForFamily(
  { spread }: Pick<Policy, 'spread'>,
  { active, standby }: OpenGateways,
  family: Family,
): OpenGateways {
  const ofFamily = (gateways: readonly Gateway[]): readonly Gateway[] =>
    gateways.filter(({ egressIps }) => egressIps[family] !== undefined)
  const [inUse, waiting] = [ofFamily(active), ofFamily(standby)]
  if (inUse.length > 0) return { active: inUse, standby: waiting }
  if (spread === 'one' && active.some(({ isUnreported }) => isUnreported)) return { active: [], standby: [] }
  const serving = spread === 'one' ? waiting.slice(0, 1) : waiting
  return { active: serving, standby: waiting.slice(serving.length) }
}

function firstAddressOf([first]: readonly Gateway[]): Address {
  if (first === undefined) throw new Error('an exit without gateways has no first one')
  return tunnelAddressOf(first.node)
}

/**
 * The gateways of a group for pods of one zone. A gateway without an egress IP does not count towards maxGatewayNodes,
 * unless a pool gives addresses to active gateways. If all gateways are ineligible, all of them are used. The datapath
 * finds out which of them answer, and a gateway that may be dead is better than none.
 */
export function openGateways(
  policy: Policy,
  exitIndex: number,
  gateways: readonly Gateway[],
  zone: string | undefined,
  ineligible: IneligibleNodes,
): OpenGateways {
  const isLocal = ({ node }: Gateway): boolean => zone !== undefined && node.labels[zoneLabel] === zone
  const isGiven = policy.exits[exitIndex]?.address.by === 'pool'
  const isUsable = (gateway: Gateway): boolean =>
    !ineligible.has(gateway.node.name) && gateway.outage === undefined && (isGiven || hasEgressIp(gateway))
  const local = gateways.filter(isLocal)
  const localFirst = [...local, ...gateways.filter((gateway) => !isLocal(gateway))]
  const candidates = {
    disabled: gateways,
    localOnly: local,
    localOnlyFirst: localFirst,
    localPriority: localFirst,
  }[policy.zoneAffinity]
  const usable = candidates.some(isUsable) ? candidates.filter(isUsable) : candidates
  const usableLocal = usable.filter(isLocal)
  const eligible = policy.zoneAffinity === 'localOnlyFirst' && usableLocal.length > 0 ? usableLocal : usable
  /* If the policy sets egressIP, all its packets go to the node that has the address. */
  const holders = policy.exits[exitIndex]?.address.by === 'address' ? holdersOf(eligible) : []
  const serving = holders.length > 0 ? holders : eligible
  const active = serving.slice(0, policy.exits[exitIndex]?.maxGatewayNodes ?? serving.length)
  return { active, standby: candidates.filter((gateway) => !active.includes(gateway)) }
}

/** The gateways that are active for pods of at least one of the zones, in the order of `gateways`. */
export function activeAnywhere(
  policy: Policy,
  exitIndex: number,
  gateways: readonly Gateway[],
  zones: ReadonlySet<string | undefined>,
  ineligible: IneligibleNodes,
): readonly Gateway[] {
  const active = new Set(
    [...zones].flatMap((zone) => openGateways(policy, exitIndex, gateways, zone, ineligible).active),
  )
  return gateways.filter((gateway) => active.has(gateway))
}

/** The zones of the nodes. A node without a zone adds `undefined`. */
export function zonesOf(nodes: readonly WorldNode[]): ReadonlySet<string | undefined> {
  return new Set(nodes.map(({ labels }) => labels[zoneLabel]))
}
