import type { Condition } from '../api/metadata.ts'
import { comparePrefixes } from '../net/prefix.ts'
import { type Gateway, gatewaysOf, interfacesByNode } from './gateways.ts'
import { type AddressChoice, listPolicies, type Policy } from './policies.ts'
import type { World } from './world.ts'

/** What a policy's status says, without the times that the writer adds. */
export interface PolicyStatus {
  readonly policy: Policy
  readonly conditions: readonly Omit<Condition, 'lastTransitionTime'>[]
}

/** What is well with each policy and what is not, in words that say what to do. */
export function explainPolicies(world: Omit<World, 'self'>): readonly PolicyStatus[] {
  const interfaces = interfacesByNode({ ...world, self: '' })
  const policies = listPolicies({ ...world, self: '' })
  return policies.map((policy, index) => {
    const gateways = policy.exits.map((exit) => gatewaysOf(exit, world.nodes, interfaces))
    const problems = [
      ...policy.problems.map((message) => ({ reason: 'Invalid', message })),
      ...policy.exits.flatMap((exit, which) => gatewayProblems(exit.address, gateways[which] ?? [], which)),
    ]
    const shadows = shadowedDestinations(policy, policies.slice(0, index))
    return {
      policy,
      conditions: [
        withGeneration(policy, {
          type: 'Ready',
          status: problems.length === 0 ? 'True' : 'False',
          reason: problems[0]?.reason ?? 'GatewaysFound',
          message: problems.map(({ message }) => message).join('; ') || describeGateways(gateways.flat()),
        }),
        ...(shadows.length === 0
          ? []
          : [
              withGeneration(policy, {
                type: 'Shadowed',
                status: 'True',
                reason: 'OlderPolicyWins',
                message: shadows.join('; '),
              }),
            ]),
      ],
    }
  })
}

function withGeneration(
  policy: Policy,
  condition: Omit<Condition, 'lastTransitionTime' | 'observedGeneration'>,
): Omit<Condition, 'lastTransitionTime'> {
  return {
    ...condition,
    ...(policy.generation === undefined ? {} : { observedGeneration: policy.generation }),
  }
}

function gatewayProblems(
  choice: AddressChoice,
  gateways: readonly Gateway[],
  which: number,
): readonly { readonly reason: string; readonly message: string }[] {
  if (gateways.length === 0)
    return [
      {
        reason: 'NoGateway',
        message: `no node matches the nodeSelector of gateway ${which + 1}: label a node, or change the selector; until then the traffic is dropped`,
      },
    ]
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
  return gateways
    .map(
      ({ node, egressIps }) =>
        `${node.name} with ${[egressIps[4], egressIps[6]].filter(Boolean).join(' and ')}`,
    )
    .join(', ')
}

/** Only where both could select the same pod does it matter; whether they do is not for a status to find out. */
function shadowedDestinations(policy: Policy, older: readonly Policy[]): readonly string[] {
  return [...policy.destinations].sort(comparePrefixes).flatMap((destination) => {
    const winner = older.find(({ destinations }) => destinations.includes(destination))
    return winner === undefined
      ? []
      : [`for pods that both select, ${destination} goes by the older ${winner.kind} ${winner.name}`]
  })
}
