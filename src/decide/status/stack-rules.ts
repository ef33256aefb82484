import type { EgressNode } from '../../api/egress-node.ts'
import { overlaps, type Prefix, parsePrefix } from '../../net/prefix.ts'
import type { Gateway } from '../gateways/gateways.ts'
import type { Policy } from '../policies/policies.ts'
import type { TimelessCondition } from './conditions.ts'
import { someNames } from './some-names.ts'

/** What a node's network stack does to packets that it forwards: chains of nftables, IPsec policies, routing rules. */
export interface NodeRules {
  readonly chains: readonly {
    readonly table: string
    readonly name: string
    readonly hook: string
    readonly drops: boolean
    readonly rules: number
  }[]
  /** Tables of iptables-legacy that have rules. The agent does not read the rules. */
  readonly legacyTables: readonly string[]
  /** Destinations of outbound IPsec policies. */
  readonly ipsec: readonly Prefix[]
  /** Those that match a mark, a port or a type of service. The others apply to all packets. */
  readonly routingRules: number
  /** Sources for which routing rules choose the routes. */
  readonly routingSources: readonly Prefix[]
}

/** IPsec policies encrypt what the node sends. Undefined: the agent does not read the rules of this node. */
export const hasIPsec = (rules: NodeRules | undefined): boolean =>
  rules !== undefined && rules.ipsec.length > 0

/** How this node uses its stack. */
export interface StackUse {
  readonly rules: NodeRules
  /** It forwards translated packets for pods. */
  readonly isGateway: boolean
  readonly forwardsByStack: boolean
  readonly servicesByStack: boolean
}

const remedy = 'To apply them, set egressGateway.gatewayForwarding=stack.'

/** Which rules do not apply to packets of pods, and which rules drop packets that the stack forwards. */
export function stackConditions({ rules, ...use }: StackUse): readonly TimelessCondition[] {
  const bypassed = use.isGateway && !use.forwardsByStack ? describeBypass(rules) : []
  const drops = droppingChains(rules)
  const isStopped = drops.length > 0 && (use.servicesByStack || use.forwardsByStack)
  return [...bypassed, ...(isStopped ? [describeStop(drops, use)] : [])]
}

function describeBypass({
  chains,
  legacyTables,
  ipsec,
  routingRules,
}: NodeRules): readonly TimelessCondition[] {
  const type = 'RulesBypassed'
  const named = [
    ...chains.map(({ table, name, hook }) => `nftables chain ${name} of table ${table} (hook ${hook})`),
    ...(legacyTables.length === 0
      ? []
      : [`rules in the tables ${legacyTables.join(', ')} of iptables-legacy, which the agent does not read`]),
    ...(routingRules === 0
      ? []
      : [`${routingRules} routing rules that match a mark, a port or a type of service (ip rule)`]),
  ]
  const others =
    named.length === 0 ? '' : `These rules of the node do not apply to egress traffic: ${someNames(named)}.`
  if (ipsec.length > 0)
    return [
      {
        type,
        status: 'True',
        reason: 'IPsecPolicies',
        message:
          `Egress traffic leaves in clear text although IPsec policies of the node cover these destinations: ${someNames(ipsec)}. ${others} ${remedy}`.replace(
            '  ',
            ' ',
          ),
      },
    ]
  return named.length === 0
    ? []
    : [{ type, status: 'True', reason: 'NodeRules', message: `${others} ${remedy}` }]
}

function describeStop(drops: readonly string[], use: Omit<StackUse, 'rules'>): TimelessCondition {
  const what = use.servicesByStack ? 'Traffic of pods goes' : 'Egress traffic goes'
  return {
    type: 'ForwardingRestricted',
    status: 'True',
    reason: 'ForwardPolicyDrops',
    message: `${what} through the network stack of the node. There, ${someNames(drops)} drops packets that none of its rules accepts. Check that its rules accept the addresses of pods${use.forwardsByStack ? ' and egress IPs' : ''}.`,
  }
}

function droppingChains({ chains }: NodeRules): string[] {
  return chains
    .filter(({ hook, drops }) => hook === 'forward' && drops)
    .map(({ table, name }) => `nftables chain ${name} of table ${table}`)
}

/** Of one policy: its gateways send in clear text what an IPsec policy of theirs would encrypt or block. */
export function ipsecConditions(
  { destinations, problems }: Policy,
  exits: readonly (readonly Gateway[])[],
  egressNodes: readonly EgressNode[],
): readonly TimelessCondition[] {
  if (problems.length > 0) return []
  const gateways = new Set(exits.flat().map(({ node }) => node.name))
  const affected = egressNodes.flatMap(({ metadata, status }) => {
    const covered = (status?.bypassedIPsec ?? []).filter((text) => {
      const prefix = parsePrefix(text)
      return prefix !== undefined && destinations.some((each) => overlaps(each, prefix))
    })
    return gateways.has(metadata.name) && covered.length > 0
      ? [`node ${metadata.name} (${someNames(covered)})`]
      : []
  })
  if (affected.length === 0) return []
  const message = `Traffic of this policy leaves in clear text although IPsec policies of its gateways cover its destinations: ${someNames(affected)}. ${remedy.replace('them', 'the IPsec policies')}`
  return [{ type: 'IPsecBypassed', status: 'True', reason: 'FastForwarding', message }]
}
