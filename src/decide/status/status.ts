import type { GroupStatus } from '../../api/isovalent-egress-gateway-policy.ts'
import type { PolicySummary } from '../../api/policy-fields.ts'
import { familyOfPrefix, type Prefix } from '../../net/prefix.ts'
import { ineligibleNodes } from '../context.ts'
import { deadGatewayConditions, deadGatewayProblems, type Orders } from '../gateways/dead-gateways.ts'
import { interfacesByNode, withDedicatedAddresses } from '../gateways/dedicated-addresses.ts'
import { ordersByAddress } from '../gateways/egress-ips.ts'
import {
  activeAnywhere,
  type Exits,
  type Gateway,
  gatewaysByPolicy,
  gatewaysOf,
  hasEgressIp,
  nodesWithAddress,
  zonesOf,
} from '../gateways/gateways.ts'
import { unhealthyNodes } from '../gateways/health.ts'
import { overlapConditions } from '../policies/overlapping-policies.ts'
import { listPolicies, type Policy } from '../policies/policies.ts'
import { addClaims, type Claim } from '../policies/rules.ts'
import { grantPool, type Served } from '../pools/pool-decisions.ts'
import { addressesInUse, olderPools } from '../pools/pool-grants.ts'
import type { Settings, World, WorldNode } from '../world.ts'
import type { TimelessCondition } from './conditions.ts'
import {
  exitProblems,
  healthProblems,
  isServedByOthers,
  type Problem,
  zoneProblems,
} from './gateway-problems.ts'
import { describeGroups } from './group-statuses.ts'
import { outageConditions, outageProblems } from './interface-conditions.ts'
import { lacksInternalIP } from './node-conditions.ts'
import { poolConditions } from './pool-conditions.ts'
import { refusalConditions } from './refusals.ts'
import { remarkConditions } from './remark-conditions.ts'
import { summarise } from './status-summary.ts'
import { unservedDestinationConditions } from './unserved-destinations.ts'

/** What a policy's status says, without the times that the writer adds. */
export interface PolicyStatus {
  readonly policy: Policy
  readonly conditions: readonly TimelessCondition[]
  readonly summary: PolicySummary
  /** Of a policy with groups. What it gives to gateways here, they have once it is written. */
  readonly groupStatuses: readonly GroupStatus[] | undefined
  /** By name: nodes that are dead to the cluster. */
  readonly unhealthy: ReadonlySet<string>
}

/** The conditions of each policy: what works, what does not, and what to do about it. */
export function explainPolicies(world: Omit<World, 'self'>): readonly PolicyStatus[] {
  const interfaces = interfacesByNode(world)
  const nodes = nodesWithAddress(world.nodes)
  const ineligible = ineligibleNodes(world)
  const unhealthy = unhealthyNodes(world)
  const zones = zonesOf(nodes)
  const policies = withDedicatedAddresses(listPolicies(world), world)
  const spoken = addressesInUse(world, policies)
  const claims = new Map<Prefix, Claim>()
  let found: Orders | undefined
  /** Computed on demand: only a policy with an unhealthy gateway needs them. */
  const orders = (): Orders => {
    found ??= ordersByAddress({
      nodes,
      policies,
      interfaces,
      exits: gatewaysByPolicy(policies, nodes, interfaces),
    })
    return found
  }
  return policies.map((given, index) => {
    const candidates = given.exits.map((exit) => gatewaysOf(exit, nodes, interfaces))
    const pool = { prefixes: given.egressPool, olderPrefixes: olderPools(policies, index) }
    const { policy, unserved } = grantPool(
      { policy: given, exits: candidates, zones, ineligible },
      pool,
      spoken,
    )
    const exits = policy.exits.map((exit) => gatewaysOf(exit, nodes, interfaces))
    const served = { policy, exits, zones, ineligible, unhealthy }
    const older = policies.slice(0, index)
    const conditions = [
      ...readyConditions(served, orders, world.settings),
      ...selectionConditions(policy),
      ...familyConditions(policy, exits),
      ...poolConditions(policy, unserved, older),
      ...overlapConditions(policy, claims),
      ...deadGatewayConditions(served, orders),
      ...refusalConditions(policy, world.egressNodes),
      ...addressConditions(world.nodes),
      ...remarkConditions(policy, world),
      ...unservedDestinationConditions(policy, world),
      ...outageConditions(served, orders),
    ]
    addClaims(claims, policy)
    const { generation } = policy
    return {
      policy,
      conditions:
        generation === undefined
          ? conditions
          : conditions.map((condition) => ({ ...condition, observedGeneration: generation })),
      summary: summarise(activeGateways(served).flat()),
      groupStatuses: policy.spread === 'all' ? describeGroups(served) : undefined,
      unhealthy,
    }
  })
}

/** Pods of any node may be selected, and any node may be a gateway: all policies say it. */
function addressConditions(nodes: readonly WorldNode[]): readonly TimelessCondition[] {
  const lacking = nodes.filter(
    ({ internalIPs, lacksInternalIP }) => lacksInternalIP || internalIPs.length === 0,
  )
  if (lacking.length === 0) return []
  return [
    {
      type: 'NodesWithoutAddress',
      status: 'True',
      reason: 'NoInternalIP',
      message: lacksInternalIP(lacking),
    },
  ]
}

function matchedGateways({ policy, exits }: Served): Exits {
  return policy.spread === 'one' ? exits.map((gateways) => gateways.slice(0, 1)) : exits
}

/** Those that new flows use, by exit. */
function activeGateways(served: Served): Exits {
  const { policy, exits, zones, ineligible } = served
  if (policy.spread === 'one') return matchedGateways(served)
  return exits.map((gateways, which) => activeAnywhere(policy, which, gateways, zones, ineligible))
}

function readyConditions(
  served: Served,
  orders: () => Orders,
  settings: Settings,
): readonly TimelessCondition[] {
  const { policy } = served
  const matched = matchedGateways(served)
  const active = activeGateways(served)
  const ofExits = exitProblems(policy, matched, active, settings)
  const idle = ofExits.filter((problem) => isServedByOthers(policy, active, problem))
  const problems = [
    ...policy.problems.map(
      (message): Problem => ({
        reason: 'Invalid',
        message: `${message}. Traffic that the policy selects is dropped.`,
      }),
    ),
    ...ofExits.filter((problem) => !isServedByOthers(policy, active, problem)),
    ...healthProblems(served),
    ...outageProblems(served, orders),
    ...deadGatewayProblems(served, orders),
    ...zoneProblems(served),
  ]
  const [first] = problems
  const ready: TimelessCondition =
    first === undefined
      ? { type: 'Ready', status: 'True', reason: 'GatewaysFound', message: describeGateways(active.flat()) }
      : {
          type: 'Ready',
          status: 'False',
          reason: first.reason,
          message: problems.map(({ message }) => message).join(' '),
        }
  if (idle.length === 0) return [ready]
  const message = `${idle.map((each) => each.message).join(' ')} The other gateways carry the traffic.`
  return [ready, { type: 'GatewayIdle', status: 'True', reason: 'NoEgressIP', message }]
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

/** An empty list is allowed, and matches nothing: whoever left it empty may have meant everything. */
function selectionConditions({ selections, problems }: Policy): readonly TimelessCondition[] {
  if (selections.length > 0 || problems.length > 0) return []
  const message = 'selectors is empty, so the policy selects no pod. Use podSelector {} to select all pods.'
  return [{ type: 'SelectsNothing', status: 'True', reason: 'NoSelectors', message }]
}

/** Who lists both families may have one of them alone; that the other's traffic is dropped has to be said. */
function familyConditions({ destinations }: Policy, exits: Exits): readonly TimelessCondition[] {
  const gateways = exits.flat().filter(hasEgressIp)
  const missing = ([4, 6] as const).filter(
    (family) =>
      destinations.some((prefix) => familyOfPrefix(prefix) === family) &&
      gateways.length > 0 &&
      gateways.every(({ egressIps }) => egressIps[family] === undefined),
  )
  return missing.map((family) => ({
    type: 'DropsFamily',
    status: 'True',
    reason: `NoIPv${family}EgressIP`,
    message: `destinationCIDRs has IPv${family} prefixes, but no gateway has an IPv${family} egress IP. IPv${family} traffic to them is dropped. Add an IPv${family} address to a gateway, or remove the prefixes.`,
  }))
}
