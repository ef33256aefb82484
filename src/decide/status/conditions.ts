import type { Condition } from '../../api/metadata.ts'

/*
 * Every condition that Sallyport writes, with its reasons. docs/conditions.md explains each of them to users. A test compares
 * the two.
 */

const policyConditions = {
  Ready: [
    'GatewaysFound',
    'Applying',
    'Invalid',
    'NoGateway',
    'NoEgressIP',
    'EgressIPNotOnNode',
    'NoHealthyGateway',
    'NoGatewayInZone',
    'InterfaceDown',
    'InterfaceNoCarrier',
    'DestinationsNotServed',
    'AllPodsRefused',
    'AllPodsDropped',
    'NoRoute',
    'ForwardingStopped',
  ],
  DestinationsNotServed: ['AllDestinations', 'SomeDestinations'],
  NoRoute: ['AllDestinations', 'SomeDestinations'],
  InterfaceUnusable: ['Down', 'NoCarrier', 'NoEthernetHeader'],
  PortsExhausted: ['PodHoldsMost', 'NoPortsLeft'],
  Routed: ['OnAnotherNode', 'OnNoInterface'],
  SharesNodeAddress: ['ChainedMode'],
  GatewayIdle: ['NoEgressIP', 'NoGateway'],
  GatewayUnhealthy: ['AnotherAnswers', 'NobodyAnswers'],
  SelectsNoPods: ['NoSelectors', 'NoPodMatches'],
  DropsFamily: ['NoIPv4EgressIP', 'NoIPv6EgressIP'],
  'isovalent.com/IPAMRequestSatisfied': ['noreason', 'PoolExhausted'],
  EgressCIDRsOverlap: ['OlderPolicyWins'],
  AddressConflict: ['AnotherHostAnswers'],
  Shadowed: ['OlderPolicyWins'],
  PodsRefused: ['NetworkPolicy', 'NetworkPolicyUnclear'],
  PodsDenied: ['NoDestinationAllowed'],
  PodsCutOff: ['NoSlot', 'AddressNotOnNode', 'ReachesNoGateway'],
  NodesWithoutAddress: ['NoInternalIP'],
  NodesBehind: ['PolicyNotApplied'],
  LikelyMistake: ['SeeMessage'],
  IPsecBypassed: ['FastForwarding'],
  InterfaceNotUsed: ['NoRoutingRule', 'NoDefaultRoute'],
  ForwardingStopped: ['NothingLeaves', 'AddressChanged', 'SomeAddressesChanged'],
} as const

const egressNodeConditions = {
  Connected: [
    'Connected',
    'NodeNotFound',
    'NoInternalIP',
    'AddressNotOnNode',
    'EgressNodeNotFound',
    'ReachesNoNode',
  ],
  ProgramMissing: ['HookTaken'],
  RulesBypassed: ['IPsecPolicies', 'NodeRules'],
  ForwardingRestricted: ['ForwardPolicyDrops'],
  ForwardingStopped: policyConditions.ForwardingStopped,
} as const

const egressAddressConditions = {
  Exhausted: ['PortsLeft', 'FewPortsLeft', 'NoPortsLeft', 'PodHoldsMost'],
  Unconfirmed: ['GatewayBehind'],
  Lingering: ['ConnectionsLeft', 'NoConnectionLeft'],
} as const

export const conditionReasons = {
  policy: policyConditions,
  egressNode: egressNodeConditions,
  egressAddress: egressAddressConditions,
} as const

type Reasons = typeof policyConditions & typeof egressNodeConditions & typeof egressAddressConditions
type ConditionType = keyof Reasons
export type ReasonOf<Type extends ConditionType> = Reasons[Type][number]

/** A condition without times, which the writer adds. Each type allows only its own reasons. */
export type TimelessCondition = {
  readonly [Type in ConditionType]: Omit<Condition, 'lastTransitionTime' | 'type' | 'reason'> & {
    readonly type: Type
    readonly reason: ReasonOf<Type>
  }
}[ConditionType]

/** lastTransitionTime changes only if the condition's status changes. */
export function mergeConditions(
  before: readonly Condition[],
  after: readonly TimelessCondition[],
  now: string,
): Condition[] {
  return after.map((condition) => {
    const previous = before.find(({ type }) => type === condition.type)
    const lastTransitionTime = previous?.status === condition.status ? previous.lastTransitionTime : now
    const { type, status, reason, message, observedGeneration } = condition
    return {
      type,
      status,
      reason,
      message,
      lastTransitionTime,
      ...(observedGeneration === undefined ? {} : { observedGeneration }),
    }
  })
}
