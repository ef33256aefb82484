/*
 * Every condition that Sallyport writes, with its reasons. docs/conditions.md explains each of them to users, and a test compares the two.
 */

const policyConditions = {
  Ready: [
    'GatewaysFound',
    'Invalid',
    'NoGateway',
    'NoEgressIP',
    'EgressIPNotOnNode',
    'NoHealthyGateway',
    'NoGatewayInZone',
  ],
  Routed: ['OnAnotherNode', 'OnNoInterface'],
  GatewayIdle: ['NoEgressIP', 'NoGateway', 'EgressIPNotOnNode'],
  GatewayUnhealthy: ['AnotherAnswers', 'NobodyAnswers'],
  SelectsNoPods: ['NoSelectors', 'NoPodMatches'],
  DropsFamily: ['NoIPv4EgressIP', 'NoIPv6EgressIP'],
  'isovalent.com/IPAMRequestSatisfied': ['noreason', 'PoolExhausted'],
  EgressCIDRsOverlap: ['OlderPolicyWins'],
  Shadowed: ['OlderPolicyWins'],
  PodsRefused: ['NetworkPolicy'],
  NodesWithoutAddress: ['NoInternalIP'],
  LikelyMistake: ['SeeMessage'],
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
} as const

const egressAddressConditions = {
  Exhausted: ['PortsLeft', 'FewPortsLeft', 'NoPortsLeft'],
  Unconfirmed: ['GatewayBehind'],
} as const

export const conditionReasons = {
  policy: policyConditions,
  egressNode: egressNodeConditions,
  egressAddress: egressAddressConditions,
} as const

type Reasons = typeof policyConditions & typeof egressNodeConditions & typeof egressAddressConditions
export type ConditionType = keyof Reasons
export type ReasonOf<Type extends ConditionType> = Reasons[Type][number]
