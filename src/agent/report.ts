import { isDeepStrictEqual } from 'node:util'
import type { AddressConflict, EgressNode, NodeInterface } from '../api/egress-node.ts'
import type { Condition } from '../api/metadata.ts'
import { version } from '../api/version.ts'
import type { Membership } from '../decide/gateways/membership.ts'
import { nodeConditions } from '../decide/status/node-conditions.ts'
import { summariseRefusals } from '../decide/status/refusals.ts'
import type { NodeRules, StackUse } from '../decide/status/stack-rules.ts'
import type { Tables } from '../decide/tables.ts'
import type { WorldNode } from '../decide/world.ts'
import type { Resource } from '../kube/resource.ts'
import { type Address, familyOf, isLinkLocal } from '../net/address.ts'
import { contains, familyOfPrefix, type Prefix } from '../net/prefix.ts'
import type { Applied } from './apply.ts'
import type { Reachability } from './failover/failover-views.ts'
import { boundDevices, selectLinkDevice } from './node/native-devices.ts'
import type { NodeDevice } from './node/node-network.ts'
import type { Paced } from './paced-report.ts'
import type { Decided } from './snapshot.ts'

/** What this node knows of its network. */
interface NetworkView {
  /** Egress IPs that the agent added. */
  readonly held: Pick<ReadonlySet<Address>, 'has'>
  readonly rules: NodeRules | undefined
  readonly node: Pick<WorldNode, 'internalIPs'> | undefined
  readonly settings: Pick<StackUse, 'forwardsByStack'> & Parameters<typeof selectLinkDevice>[1]
}

/** The devices without the tunnel, as other nodes see them. */
export function reportedInterfaces(
  all: readonly NodeDevice[],
  { held, rules, node, settings }: NetworkView,
): NodeInterface[] {
  const devices = all.filter(({ kind }) => kind !== 'vxlan')
  const unruled = addressesWithoutRule(devices, rules, settings)
  const link = selectLinkDevice(devices, settings, node, rules)
  return describeInterfaces(devices, held, { unruled, link, ...rules })
}

/** What devices alone do not say. */
interface KnownOfDevices {
  /** Addresses that lack a routing rule with them as its source. */
  readonly unruled?: ReadonlySet<Address>
  /** Of the node's routing rules. */
  readonly routingSources?: readonly Prefix[]
  /** The device by which this node takes packets without a tunnel. */
  readonly link?: NodeDevice | undefined
}

/**
 * The devices of this node that other nodes may know, with their addresses. Addresses that the agent added are listed apart,
 * because a policy that names the interface never means one of them. Of a device without addresses other nodes need to know
 * only that it exists.
 */
export function describeInterfaces(
  devices: readonly NodeDevice[],
  held: Pick<ReadonlySet<Address>, 'has'>,
  { unruled = new Set(), routingSources = [], link }: KnownOfDevices = {},
): NodeInterface[] {
  const lowestIpv6 = Math.min(
    ...devices.map(({ defaultMetrics }) => defaultMetrics[6] ?? Number.POSITIVE_INFINITY),
  )
  const described = devices
    .filter(({ addresses }) => addresses.length > 0)
    .map((device) => {
      const { name, alternativeNames, mac, addresses, subnets, routers = [], isDefaultRoute } = device
      const problem = interfaceProblem(device)
      const isIPv6Unrouted = (device.defaultMetrics[6] ?? 0) > lowestIpv6
      const added = addresses.filter((address) => held.has(address))
      const lacking = withoutDefaultRoute(device, routingSources)
      const withoutRule = addresses.filter((address) => unruled.has(address))
      return {
        name,
        ...(mac === undefined ? {} : { mac }),
        ...(alternativeNames.length === 0 ? {} : { alternativeNames: [...alternativeNames] }),
        addresses: addresses.filter((address) => !held.has(address)),
        ...(added.length === 0 ? {} : { added }),
        ...(subnets.length === 0 ? {} : { subnets: [...subnets] }),
        ...(routers.length === 0 ? {} : { routers: [...routers] }),
        ...(device === link ? { receivesByLink: true } : {}),
        isDefaultRoute,
        ...(lacking === undefined ? {} : { withoutDefaultRoute: lacking }),
        ...(withoutRule.length === 0 ? {} : { withoutRule }),
        ...(isIPv6Unrouted ? { isIPv6Unrouted } : {}),
        ...(problem === undefined ? {} : { problem }),
      }
    })
  return [...described, ...withoutAddresses(devices)]
}

/** Without the host sides of pods: a node has many of them, and they come and go. */
function withoutAddresses(devices: readonly NodeDevice[]): readonly NodeInterface[] {
  return devices
    .filter(({ addresses, kind, isLoopback }) => addresses.length === 0 && kind !== 'veth' && !isLoopback)
    .map(({ name, alternativeNames }) => ({
      name,
      ...(alternativeNames.length === 0 ? {} : { alternativeNames: [...alternativeNames] }),
      addresses: [],
      isDefaultRoute: false,
    }))
}

/**
 * Addresses that belong to an interface with a default route of its own, but whose packets the stack sends by the main default
 * route, because no routing rule has them as its source. Undefined rules: nobody reads them.
 */
export function addressesWithoutRule(
  devices: readonly NodeDevice[],
  rules: NodeRules | undefined,
  { forwardsByStack }: Pick<StackUse, 'forwardsByStack'>,
): ReadonlySet<Address> {
  if (rules === undefined || !forwardsByStack) return new Set()
  const bound = [...boundDevices(devices).keys()]
  return new Set(bound.filter((address) => !rules.routingSources.some((source) => contains(source, address))))
}

/** Nobody checks a policy against a longer list. */
const maxDestinations = 64

/**
 * Of a device that lacks a default route for some of its addresses: to which destinations their packets leave by it. Routing
 * rules can choose other routes for an address. Then it is left out.
 */
function withoutDefaultRoute(
  device: NodeDevice,
  routingSources: readonly Prefix[],
): NodeInterface['withoutDefaultRoute'] {
  if (onlyHoldsAddresses(device) || device.reaches === undefined) return undefined
  const addresses = device.addresses.filter(
    (address) =>
      !isLinkLocal(address) &&
      device.defaultMetrics[familyOf(address)] === undefined &&
      !routingSources.some((source) => contains(source, address)),
  )
  const destinations = device.reaches.filter((prefix) =>
    addresses.some((address) => familyOf(address) === familyOfPrefix(prefix)),
  )
  const isKnown = addresses.length > 0 && destinations.length <= maxDestinations
  return isKnown ? { addresses, destinations } : undefined
}

function onlyHoldsAddresses({ isLoopback, kind }: NodeDevice): boolean {
  return isLoopback || kind === 'dummy' || kind === 'ifb'
}

/** A dummy device or the loopback device only holds addresses. Their packets pass another device. */
function interfaceProblem(device: NodeDevice): NodeInterface['problem'] {
  const { mac, isUp, hasCarrier } = device
  if (onlyHoldsAddresses(device)) return undefined
  if (mac === undefined) return 'NoEthernetHeader'
  if (!isUp) return 'Down'
  return hasCarrier ? undefined : 'NoCarrier'
}

/** More would make the object large, and say nothing new to people. */
const maxIpsec = 256

type Report = NonNullable<EgressNode['status']>

/** What a node found when it wrote its tables. */
interface KnownOfKernel extends Pick<Applied, 'unrouted' | 'stackLoss'> {
  readonly hooks: Pick<Applied['hooks'], 'problems'>
}

/** What a node knows about itself and about other nodes. */
interface NodeKnowledge extends Paced {
  readonly node: WorldNode | undefined
  readonly interfaces: readonly NodeInterface[]
  /** Whether policies can use the node's own address. Undefined in stand-alone mode, where they always can. */
  readonly sharesAddress: boolean | undefined
  readonly membership: Membership
  readonly reachability: Reachability
  readonly isCutOff: boolean
  /** Names of gateways. */
  readonly byLink: readonly string[]
  readonly conflicts: readonly AddressConflict[]
  readonly lingering: Readonly<NonNullable<Report['lingering']>>
  /** Undefined until the tables were written for the first time. */
  readonly tables: Tables | undefined
  /** Undefined until the tables were written for the first time. */
  readonly applied: KnownOfKernel | undefined
  readonly stack: StackUse | undefined
  readonly tunnelPort: number
  readonly before: readonly Condition[]
  /** RFC 3339. */
  readonly now: string
}

/** A node's report to other nodes and to users. Leased ports have a report of their own. */
export function describeNode(known: NodeKnowledge): Report {
  const { node, interfaces, membership, reachability, isCutOff, tables, selected, before, now } = known
  const { applied, stack } = known
  const hookProblems = applied?.hooks.problems ?? []
  const tunnelAddress = membership.isMember ? tables?.self.tunnelAddress : undefined
  return {
    interfaces: [...interfaces],
    heard: reachability.reachable,
    unreachable: reachability.unreachable,
    byLink: [...known.byLink],
    selected: [...selected],
    ...(known.appliedPolicies === undefined ? {} : { appliedPolicies: known.appliedPolicies }),
    ...(known.appliedAddresses === undefined ? {} : { appliedAddresses: known.appliedAddresses }),
    ...(known.sharesAddress === undefined ? {} : { sharesAddress: known.sharesAddress }),
    refused: summariseRefusals(tables?.refusals ?? []),
    ...(tables === undefined ? {} : { denied: [...tables.denied] }),
    ...(applied?.unrouted === undefined ? {} : { unrouted: [...applied.unrouted] }),
    version,
    conflicts: [...known.conflicts],
    lingering: [...known.lingering],
    ...(tunnelAddress === undefined ? {} : { tunnelAddress }),
    bypassedIPsec: bypassedIPsec(known.stack),
    conditions: nodeConditions(
      { node, membership, isCutOff, hookProblems, stack, stackLoss: applied?.stackLoss },
      { before, now },
      known.tunnelPort,
    ),
  }
}

/**
 * Egress IPs that no policy uses any more: those with connections of this node's pods, and those that this node answers for. Two
 * digits, since a status that changed with each connection would wake every agent for each.
 */
export function describeLingering(
  decided: Pick<Decided, 'tables' | 'lingering'> | undefined,
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

type Reported = Pick<Decided, 'tables' | 'lingering'> & {
  readonly applied: Pick<Decided['applied'], 'unrouted' | 'stackLoss'>
}

/** Undefined until the tables were written for the first time, or if nobody reads the rules. */
export function stackUseOf(
  rules: NodeRules | undefined,
  tables: Tables | undefined,
  { forwardsByStack, servicesByStack }: Pick<StackUse, 'forwardsByStack' | 'servicesByStack'>,
): StackUse | undefined {
  if (rules === undefined || tables === undefined) return undefined
  const { self, egressIps } = tables
  const isGateway = [...egressIps.values()].some(({ order }) => order.includes(self.tunnelAddress))
  return { rules, isGateway, forwardsByStack, servicesByStack }
}

function bypassedIPsec(stack: StackUse | undefined): string[] {
  if (stack === undefined || stack.forwardsByStack || !stack.isGateway) return []
  return [...new Set(stack.rules.ipsec)].slice(0, maxIpsec)
}

/** Whether two decisions lead to the same report. */
export function isReportedAlike(after: Reported, before: Reported | undefined): boolean {
  const reported = (decided: Reported | undefined) => [
    decided?.tables.refusals,
    decided?.tables.denied,
    decided?.applied.unrouted,
    decided?.applied.stackLoss,
    decided?.tables.selected,
    decided?.tables.policiesDigest,
    decided?.tables.grantsDigest,
    [...(decided?.lingering.keys() ?? [])].filter((address) => !decided?.tables.egressIps.has(address)),
  ]
  return isDeepStrictEqual(reported(after), reported(before))
}

/** Writes the status if it differs. Without an object, which the operator creates, there is nothing to write to. */
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
