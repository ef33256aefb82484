import type { Condition } from '../api/metadata.ts'
import { comparePrefixes } from '../net/prefix.ts'
import { type Exits, type Gateway, gatewaysOf, interfacesByNode, reachableNodes } from './gateways.ts'
import { type AddressChoice, listPolicies, type Policy } from './policies.ts'
import type { World } from './world.ts'

type TimelessCondition = Omit<Condition, 'lastTransitionTime'>

/** What a policy's status says, without the times that the writer adds. */
export interface PolicyStatus {
  readonly policy: Policy
  readonly conditions: readonly TimelessCondition[]
}

interface Problem {
  /** One word in CamelCase, for programs. */
  readonly reason: string
  readonly message: string
}

/** What is well with each policy and what is not, in words that say what to do. */
export function explainPolicies(world: Omit<World, 'self'>): readonly PolicyStatus[] {
  const interfaces = interfacesByNode(world.egressNodes)
  const nodes = reachableNodes(world.nodes)
  const policies = listPolicies(world)
  return policies.map((policy, index) => {
    const exits = policy.exits.map((exit) => gatewaysOf(exit, nodes, interfaces))
    const conditions = [readyCondition(policy, exits), ...shadowConditions(policy, policies.slice(0, index))]
    const { generation } = policy
    return {
      policy,
      conditions:
        generation === undefined
          ? conditions
          : conditions.map((condition) => ({ ...condition, observedGeneration: generation })),
    }
  })
}

function readyCondition(policy: Policy, exits: Exits): TimelessCondition {
  const used = policy.spread === 'one' ? exits.map((gateways) => gateways.slice(0, 1)) : exits
  const problems = [
    ...policy.problems.map(
      (message): Problem => ({ reason: 'Invalid', message: `${message}: what it selects is dropped` }),
    ),
    ...exitProblems(policy, used),
  ]
  const [first] = problems
  return first === undefined
    ? { type: 'Ready', status: 'True', reason: 'GatewaysFound', message: describeGateways(used.flat()) }
    : {
        type: 'Ready',
        status: 'False',
        reason: first.reason,
        message: problems.map(({ message }) => message).join('; '),
      }
}

/** An entry of several that matches no node does not count; the others have its pods. */
function exitProblems(policy: Policy, used: Exits): readonly Problem[] {
  const isServed = used.some((gateways) => gateways.length > 0)
  return policy.exits.flatMap(({ address }, which) => {
    const gateways = used[which] ?? []
    if (gateways.length > 0) return addressProblems(address, gateways)
    const where = policy.exits.length > 1 ? ` of gateway ${which + 1}` : ''
    const effect = isServed ? 'the other gateways serve its pods' : 'until then the traffic is dropped'
    return {
      reason: 'NoGateway',
      message: `no node matches the nodeSelector${where}: label a node, or change the selector; ${effect}`,
    }
  })
}

function addressProblems(choice: AddressChoice, gateways: readonly Gateway[]): readonly Problem[] {
  if (choice.by === 'address' && !gateways.some(({ isHolding }) => isHolding)) {
    const names = gateways.map(({ node }) => node.name).join(', ')
    return [
      {
        reason: 'EgressIPNotOnNode',
        message: `egress IP ${choice.address} is on no interface of ${names}: add it there, or answers will not come back`,
      },
    ]
  }
  return gateways
    .filter(({ egressIps }) => egressIps[4] === undefined && egressIps[6] === undefined)
    .map(({ node }) => ({
      reason: 'NoEgressIP',
      message:
        choice.by === 'interface'
          ? `interface ${choice.name} of node ${node.name} is missing or has no address`
          : `node ${node.name} has no interface with a default route, or its agent does not run`,
    }))
}

function describeGateways(gateways: readonly Gateway[]): string {
  const lines = gateways.map(
    ({ node, egressIps }) =>
      `${node.name} with ${[egressIps[4], egressIps[6]].filter((each) => each !== undefined).join(' and ')}`,
  )
  return [...new Set(lines)].join(', ')
}

/** Only where both could select the same pod does it matter; whether they do is not for a status to find out. */
function shadowConditions(policy: Policy, older: readonly Policy[]): readonly TimelessCondition[] {
  const shadows = policy.destinations.toSorted(comparePrefixes).flatMap((destination) => {
    const winner = older.find(({ destinations }) => destinations.includes(destination))
    return winner === undefined
      ? []
      : [`for pods that both select, ${destination} goes by the older ${winner.kind} ${winner.name}`]
  })
  return shadows.length === 0
    ? []
    : [{ type: 'Shadowed', status: 'True', reason: 'OlderPolicyWins', message: shadows.join('; ') }]
}
