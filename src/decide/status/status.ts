import type { EgressNode } from '../../api/egress-node.ts'
import type { GroupStatus } from '../../api/isovalent-egress-gateway-policy.ts'
import type { PolicySummary } from '../../api/policy-fields.ts'
import type { Address } from '../../net/address.ts'
import { ineligibleNodes } from '../context.ts'
import { deadGatewayConditions, deadGatewayProblems, type Orders } from '../gateways/dead-gateways.ts'
import { interfacesByNode, sharedAddresses, withDedicatedAddresses } from '../gateways/dedicated-addresses.ts'
import { ordersByAddress } from '../gateways/egress-ips.ts'
import {
  type Exits,
  type Gateway,
  gatewaysByPolicy,
  gatewaysOf,
  hasEgressIp,
  nodesWithAddress,
  zonesOf,
} from '../gateways/gateways.ts'
import { unhealthyNodes } from '../gateways/health.ts'
import { addClaims, type OlderClaims, overlapConditions } from '../policies/overlapping-policies.ts'
import { listPolicies, type Policy } from '../policies/policies.ts'
import { podFamilies, policyKey, selectedBy, sumSelected } from '../policies/selected-pods.ts'
import { type FindUnserved, findUnserved } from '../policies/unserved-networks.ts'
import { addressConflicts, type FoundConflict } from '../pools/address-conflicts.ts'
import { grantPool, type Served } from '../pools/pool-decisions.ts'
import { addressesInUse, olderPools, reservedAddresses } from '../pools/pool-grants.ts'
import type { World, WorldNode } from '../world.ts'
import { activeGateways, matchedGateways } from './active-gateways.ts'
import { type Lag, withLag } from './applied-policies.ts'
import type { TimelessCondition } from './conditions.ts'
import { describeGroups } from './group-statuses.ts'
import { type CutOffNodes, cutOffConditions, cutOffNodesOf, findCutOffNodes } from './pods/cut-off-pods.ts'
import { deniedConditions } from './pods/denied-pods.ts'
import { allDroppedProblems } from './pods/dropped-pods.ts'
import { gatewayLosses } from './policy-conditions/gateway-losses.ts'
import {
  type ExitsSeen,
  exitProblems,
  healthProblems,
  isServedByOthers,
  type Problem,
  zoneProblems,
} from './policy-conditions/gateway-problems.ts'
import { routedConditions } from './policy-conditions/given-addresses.ts'
import { outageConditions, outageProblems } from './policy-conditions/interface-conditions.ts'
import { addressConditions } from './policy-conditions/node-addresses.ts'
import { conflictConditions, poolConditions } from './policy-conditions/pool-conditions.ts'
import { portConditions } from './policy-conditions/port-conditions.ts'
import { remarkConditions } from './policy-conditions/remark-conditions.ts'
import { routeConditions, routeProblems } from './policy-conditions/route-conditions.ts'
import { familyConditions, selectionConditions } from './policy-conditions/selection-conditions.ts'
import { sharedAddressConditions } from './policy-conditions/shared-address.ts'
import {
  destinationProblems,
  unservedDestinationConditions,
} from './policy-conditions/unserved-destinations.ts'
import { unusedInterfaceConditions } from './policy-conditions/unused-interfaces.ts'
import { refusalConditions } from './refusals.ts'
import { lossProblems, policyLossConditions } from './stack-losses.ts'
import { ipsecConditions } from './stack-rules.ts'
import { summarise } from './status-summary.ts'

/** A policy's status without times, which the writer adds. */
export interface PolicyStatus {
  readonly policy: Policy
  readonly conditions: readonly TimelessCondition[]
  readonly summary: PolicySummary
  /** Undefined for a policy without groups. A gateway has an address that is listed here once the status is written. */
  readonly groupStatuses: readonly GroupStatus[] | undefined
  /** The names of unhealthy nodes. */
  readonly unhealthy: ReadonlySet<string>
  /** By node name: why a gateway of the policy cannot serve with its own egress IP now. */
  readonly losses: ReadonlyMap<string, string>
}

/** Facts that the statuses of all policies use. They are computed once. */
interface Known extends Pick<Served, 'zones' | 'ineligible' | 'unhealthy'> {
  readonly world: Omit<World, 'self'>
  readonly nodes: readonly WorldNode[]
  readonly policies: readonly Policy[]
  readonly interfaces: ExitsSeen['interfaces']
  readonly reported: ExitsSeen['reported']
  readonly conflicts: ReadonlyMap<Address, FoundConflict>
  /** Addresses that no pool gives to a gateway. */
  readonly unusable: ReadonlySet<Address>
  readonly addressesInUse: ReturnType<typeof addressesInUse>
  readonly selected: ReturnType<typeof sumSelected>
  readonly cutOff: CutOffNodes
  /** What agents report, by node name. */
  readonly reports: ReadonlyMap<string, EgressNode['status']>
  readonly shared: ReturnType<typeof sharedAddresses>
  readonly unserved: FindUnserved
  /** Computed on demand: only a policy with an unhealthy gateway needs them. */
  readonly orders: () => Orders
}

/** What the operator knows beside the world. Policies are named by kind and name. */
interface Remembered {
  /** The policies that have selected no pod for a while. */
  readonly withoutPods?: ReadonlySet<string>
  /** By policy: the nodes that have not applied it. */
  readonly lags?: ReadonlyMap<string, Lag>
  /** The names of the nodes for which no slot is left. */
  readonly withoutSlot?: readonly string[]
}

/** The status of each policy: what works, what does not, and what to do. */
export function explainPolicies(
  world: Omit<World, 'self'>,
  { withoutPods = new Set(), lags = new Map(), withoutSlot = [] }: Remembered = {},
): readonly PolicyStatus[] {
  const known = gatherKnown(world, withoutSlot)
  const claims: OlderClaims = new Map()
  return known.policies.map((_, index) => {
    const { served, conditions, summary, ofPods } = explainExits(known, index)
    const { policy, exits } = served
    const found = [
      ...conditions,
      ...selectionConditions(policy, withoutPods.has(policyKey(policy))),
      ...familyConditions(policy, exits, podFamilies(selectedBy(known.selected, policy), world.nodes)),
      ...overlapConditions(policy, claims),
      ...ofPods,
      ...addressConditions(world.nodes),
      ...remarkConditions(policy),
      ...unservedDestinationConditions(policy, known.unserved),
      ...outageConditions(served, known.orders),
      ...ipsecConditions(policy, exits, world.egressNodes),
      ...unusedInterfaceConditions(policy, exits, world.egressNodes),
    ]
    const all = withLag(found, lags.get(policyKey(policy)))
    addClaims(claims, policy)
    const { generation } = policy
    return {
      policy,
      conditions:
        generation === undefined
          ? all
          : all.map((condition) => ({ ...condition, observedGeneration: generation })),
      summary,
      groupStatuses: policy.spread === 'all' ? describeGroups(served) : undefined,
      unhealthy: known.unhealthy,
      losses: gatewayLosses(served, { isChained: world.settings.isChained, reported: known.reported }),
    }
  })
}

function gatherKnown(world: Omit<World, 'self'>, withoutSlot: readonly string[]): Known {
  const interfaces = interfacesByNode(world)
  const conflicts = addressConflicts(world.egressNodes)
  const nodes = nodesWithAddress(world.nodes)
  const policies = withDedicatedAddresses(listPolicies(world), world)
  let found: Orders | undefined
  const orders = (): Orders => {
    const exits = (): ReadonlyMap<bigint, Exits> => gatewaysByPolicy(policies, nodes, interfaces)
    found ??= ordersByAddress({ nodes, policies, interfaces, exits: exits() })
    return found
  }
  return {
    world,
    nodes,
    policies,
    interfaces,
    reported: new Map(
      world.egressNodes.flatMap(({ metadata, status }) =>
        status?.interfaces === undefined ? [] : [[metadata.name, status.interfaces] as const],
      ),
    ),
    zones: zonesOf(nodes),
    ineligible: ineligibleNodes(world),
    unhealthy: unhealthyNodes(world),
    conflicts,
    unusable: new Set([...reservedAddresses(world), ...conflicts.keys()]),
    addressesInUse: addressesInUse(world, policies),
    selected: sumSelected(world),
    cutOff: findCutOffNodes(world, withoutSlot),
    reports: new Map(world.egressNodes.map(({ metadata, status }) => [metadata.name, status])),
    shared: sharedAddresses(world),
    unserved: findUnserved(world),
    orders,
  }
}

interface Explained extends Pick<PolicyStatus, 'conditions' | 'summary'> {
  readonly served: Served
  /** The conditions that say whose traffic is dropped. */
  readonly ofPods: readonly TimelessCondition[]
}

/** The gateways of a policy and the conditions about them. Grants addresses of the policy's pool first. */
function explainExits(known: Known, index: number): Explained {
  const { policies, nodes, interfaces, reported, zones, ineligible, unhealthy, orders, world } = known
  const given = policies[index] as Policy
  const candidates = given.exits.map((exit) => gatewaysOf(exit, nodes, interfaces))
  const pool = {
    prefixes: given.egressPool,
    olderPrefixes: olderPools(policies, index),
    reserved: known.unusable,
  }
  const granted = { policy: given, exits: candidates, zones, ineligible }
  const { policy, unserved } = grantPool(granted, pool, known.addressesInUse)
  const exits = policy.exits.map((exit) => gatewaysOf(exit, nodes, interfaces))
  const served = { policy, exits, zones, ineligible, unhealthy }
  const seen: ExitsSeen = {
    policy,
    matched: matchedGateways(served),
    active: activeGateways(served, orders),
    isChained: world.settings.isChained,
    interfaces,
    reported,
  }
  const { isComplete } = known.selected
  const selected = selectedBy(known.selected, policy)
  const cutOff = cutOffNodesOf({ ...served, selected }, { ...known, nodes: world.nodes })
  const ofPods = [
    ...cutOffConditions(policy, selected, cutOff),
    ...deniedConditions(policy, world.egressNodes),
    ...refusalConditions(policy, world.egressNodes),
  ]
  const notServed = destinationProblems(policy, exits, known.unserved)
  const shown = notServed.length > 0 ? [] : seen.active.flat()
  return {
    served,
    conditions: [
      ...readyConditions(served, orders, seen, [
        ...notServed,
        ...routeProblems(policy, seen.active, known.reports),
        ...lossProblems(seen.active, known.reports),
        ...allDroppedProblems(policy, { ...known, isComplete, selected, cutOff, remarks: ofPods }),
      ]),
      ...routedConditions(seen),
      ...sharedAddressConditions(seen, known.shared),
      ...poolConditions(policy, unserved, policies.slice(0, index)),
      ...conflictConditions(policy, olderPools(policies, index), known.conflicts),
      ...deadGatewayConditions(served, orders),
      ...routeConditions(policy, seen.active, known.reports),
      ...policyLossConditions(seen.active, known.reports),
      ...portConditions(seen.active, world.egressAddresses),
    ],
    summary: summarise(shown, selected.pods),
    ofPods,
  }
}

function readyConditions(
  served: Served,
  orders: () => Orders,
  seen: ExitsSeen,
  dropped: readonly Problem[],
): readonly TimelessCondition[] {
  const { policy } = seen
  const ofExits = exitProblems(seen)
  const idle = ofExits.filter(isServedByOthers)
  const problems = [
    ...policy.problems.map(
      (message): Problem => ({
        reason: 'Invalid',
        message: `${message}. Traffic that the policy selects is dropped.`,
      }),
    ),
    ...dropped,
    ...ofExits.filter((problem) => !isServedByOthers(problem)),
    ...healthProblems(served),
    ...outageProblems(served, orders),
    ...deadGatewayProblems(served, orders),
    ...zoneProblems(served),
  ]
  const [first] = problems
  const ready: TimelessCondition =
    first === undefined
      ? {
          type: 'Ready',
          status: 'True',
          reason: 'GatewaysFound',
          message: describeGateways(seen.active.flat()),
        }
      : {
          type: 'Ready',
          status: 'False',
          reason: first.reason,
          message: problems.map(({ message }) => message).join(' '),
        }
  const [idleFirst] = idle
  if (idleFirst === undefined) return [ready]
  const message = `${idle.map((each) => each.message).join(' ')} The other gateways carry the traffic.`
  return [ready, { type: 'GatewayIdle', status: 'True', reason: idleFirst.reason, message }]
}

function describeGateways(gateways: readonly Gateway[]): string {
  const lines = gateways
    .filter(hasEgressIp)
    .map(
      ({ node, egressIps }) =>
        `${node.name} with ${[egressIps[4], egressIps[6]].filter((each) => each !== undefined).join(' and ')}`,
    )
  return [...new Set(lines)].join(', ')
}
