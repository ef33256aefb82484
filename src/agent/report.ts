import { isDeepStrictEqual } from 'node:util'
import type { AddressConflict, EgressNode, NodeInterface, SelectedPods } from '../api/egress-node.ts'
import type { Condition } from '../api/metadata.ts'
import { version } from '../api/version.ts'
import type { Membership } from '../decide/gateways/membership.ts'
import { nodeConditions } from '../decide/status/node-conditions.ts'
import { summariseRefusals } from '../decide/status/refusals.ts'
import type { Tables } from '../decide/tables.ts'
import type { WorldNode } from '../decide/world.ts'
import type { Resource } from '../kube/client.ts'
import type { Address } from '../net/address.ts'
import type { Reachability } from './failover/failover-views.ts'
import type { NodeDevice } from './node/node-network.ts'
import type { Decided } from './snapshot.ts'

/**
 * What this node can lend to others: its devices that the world may know, with their addresses. Those that the agent has
 * put there stand apart: none of them is the address that a policy means which names the interface.
 */
export function describeInterfaces(
  devices: readonly NodeDevice[],
  held: ReadonlySet<Address>,
): NodeInterface[] {
  const lowestIpv6 = Math.min(
    ...devices.map(({ defaultMetrics }) => defaultMetrics[6] ?? Number.POSITIVE_INFINITY),
  )
  return devices
    .filter(({ addresses }) => addresses.length > 0)
    .map((device) => {
      const { name, alternativeNames, mac, addresses, subnets, routers = [], isDefaultRoute } = device
      const problem = interfaceProblem(device)
      const isIPv6Unrouted = (device.defaultMetrics[6] ?? 0) > lowestIpv6
      const added = addresses.filter((address) => held.has(address))
      return {
        name,
        ...(mac === undefined ? {} : { mac }),
        ...(alternativeNames.length === 0 ? {} : { alternativeNames: [...alternativeNames] }),
        addresses: addresses.filter((address) => !held.has(address)),
        ...(added.length === 0 ? {} : { added }),
        ...(subnets.length === 0 ? {} : { subnets: [...subnets] }),
        ...(routers.length === 0 ? {} : { routers: [...routers] }),
        isDefaultRoute,
        ...(isIPv6Unrouted ? { isIPv6Unrouted } : {}),
        ...(problem === undefined ? {} : { problem }),
      }
    })
}

/** A dummy device only holds addresses: packets with them leave and come in by another one. */
function interfaceProblem({ kind, mac, isUp, hasCarrier }: NodeDevice): NodeInterface['problem'] {
  if (kind === 'dummy' || kind === 'ifb') return undefined
  if (mac === undefined) return 'NoEthernetHeader'
  if (!isUp) return 'Down'
  return hasCarrier ? undefined : 'NoCarrier'
}

/**
 * This node's own EgressNode with what the node itself knows, which is newer than what it has reported:
 * decisions about its own addresses do not wait for the API server.
 */
export function withOwnInterfaces(
  egressNodes: readonly EgressNode[],
  self: string,
  interfaces: readonly NodeInterface[],
): EgressNode[] {
  const known = egressNodes.find(({ metadata }) => metadata.name === self)
  const own = {
    ...(known ?? { metadata: { name: self } }),
    status: { ...known?.status, interfaces: [...interfaces] },
  }
  return [...egressNodes.filter(({ metadata }) => metadata.name !== self), own]
}

type Report = NonNullable<EgressNode['status']>

/** What a node knows of itself and of the others. */
interface NodeKnowledge {
  readonly node: WorldNode | undefined
  readonly interfaces: readonly NodeInterface[]
  readonly membership: Membership
  readonly reachability: Reachability
  readonly isCutOff: boolean
  readonly conflicts: readonly AddressConflict[]
  readonly lingering: NonNullable<Report['lingering']>
  /** Undefined until they were written for the first time. */
  readonly tables: Tables | undefined
  /** How many pods each policy selects here, if it is time to report it. */
  readonly selected: readonly SelectedPods[]
  readonly tunnelPort: number
  readonly before: readonly Condition[]
  /** RFC 3339. */
  readonly now: string
}

/** What a node reports to other nodes and to people. Leased ports have a report of their own. */
export function describeNode(known: NodeKnowledge): Report {
  const { node, interfaces, membership, reachability, isCutOff, tables, selected, before, now } = known
  const tunnelAddress = membership.isMember ? tables?.self.tunnelAddress : undefined
  return {
    interfaces: [...interfaces],
    heard: reachability.reachable,
    unreachable: reachability.unreachable,
    selected: [...selected],
    refused: summariseRefusals(tables?.refusals ?? []),
    version,
    conflicts: [...known.conflicts],
    lingering: [...known.lingering],
    ...(tunnelAddress === undefined ? {} : { tunnelAddress }),
    conditions: nodeConditions({ node, membership, isCutOff }, { before, now }, known.tunnelPort),
  }
}

/**
 * Egress IPs that no policy uses any more: those with connections of this node's pods, and those that this node answers for. Two
 * digits, since a status that changed with each connection would wake every agent for each.
 */
export function describeLingering(
  decided: Reported | undefined,
  flows: ReadonlyMap<Address, number>,
): NonNullable<Report['lingering']> {
  if (decided === undefined) return []
  const {
    lingering,
    tables: { egressIps, self },
  } = decided
  return [...lingering]
    .filter(
      ([address, { order }]) =>
        !egressIps.has(address) && (flows.has(address) || order[0] === self.tunnelAddress),
    )
    .map(([address]) => ({ address, connections: Number((flows.get(address) ?? 0).toPrecision(2)) }))
    .toSorted((a, b) => (a.address < b.address ? -1 : 1))
}

type Reported = Pick<Decided, 'tables' | 'lingering'>

/** Whether two decisions come to the same report. */
export function isReportedAlike(after: Reported, before: Reported | undefined): boolean {
  const reported = (decided: Reported | undefined) => [
    decided?.tables.refusals,
    decided?.tables.selected,
    [...(decided?.lingering.keys() ?? [])].filter((address) => !decided?.tables.egressIps.has(address)),
  ]
  return isDeepStrictEqual(reported(after), reported(before))
}

/** Writes the status where it differs. Without an object yet (the operator makes it) there is nothing to write to. */
export async function report(
  resource: Resource<EgressNode>,
  present: EgressNode | undefined,
  status: Report,
): Promise<void> {
  if (present === undefined) return
  const before = Object.fromEntries(
    Object.keys(status).map((key) => [key, present.status?.[key as keyof Report]]),
  )
  if (isDeepStrictEqual(before, status)) return
  await resource.patch(
    present.metadata.name,
    'merge',
    { status },
    { subresource: 'status', fieldManager: 'sallyport-agent' },
  )
}
