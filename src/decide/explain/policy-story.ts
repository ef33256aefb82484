import { type Address, familyOf } from '../../net/address.ts'
import { contains, type Prefix, prefixLength } from '../../net/prefix.ts'
import { type Context, subjectOf } from '../context.ts'
import {
  type Gateway,
  gatewaysForPod,
  hasEgressIp,
  openForFamily,
  tunnelAddressOf,
  zoneLabel,
} from '../gateways/gateways.ts'
import { unhealthyNodes } from '../gateways/health.ts'
import { serviceAccountKey } from '../policies/label-keys.ts'
import { nameOfRestriction } from '../policies/network-policies.ts'
import type { Subject, Unmet } from '../policies/pod-selection.ts'
import type { Policy } from '../policies/policies.ts'
import { claimsByPrefix } from '../policies/rules.ts'
import type { World, WorldPod } from '../world.ts'

/* Why a pod's flow has the rule that it has: for a person who reads it from the top. */

export interface PolicyName {
  readonly kind: string
  readonly name: string
}

export interface SelectionStory extends PolicyName {
  readonly selectsPod: boolean
  /** If it does not: for each of its selectors what the pod does not meet, as a sentence. */
  readonly because: readonly string[]
}

/** A prefix of a policy that selects the pod and contains the destination. The first one decides. */
export interface RuleStory extends PolicyName {
  readonly prefix: Prefix
  /** In excludedCIDRs. */
  readonly isExcluded: boolean
  /** Why another one decides. Undefined for the one that does. */
  readonly beatenBecause?: string
}

export interface GatewayStory {
  readonly node: string
  readonly tunnelAddress: Address
  readonly egressIps: readonly Address[]
  /** `active`: new flows use it. `standby`: they use it if no active one is reachable. `unused`: not for this pod. */
  readonly role: 'active' | 'standby' | 'unused'
  /** Whether it answers the probes of the pod's node. Undefined if that node does not probe it. */
  readonly isReachable?: boolean
  /** Why it is not eligible for new flows. Empty if it is. */
  readonly problems: readonly string[]
}

export interface NetworkPolicyStory {
  readonly mode: World['settings']['networkPolicies']
  /** Those that restrict what the pod sends, as namespace/name. */
  readonly restrictedBy: readonly string[]
  readonly problems: readonly string[]
}

export function explainSelections(context: Context, pod: WorldPod): readonly SelectionStory[] {
  const subject = subjectOf(context, pod)
  return context.policies.map(({ kind, name, selections }) => {
    const selectsPod = !pod.hostNetwork && selections.some(({ selects }) => selects(subject))
    return { kind, name, selectsPod, because: selectsPod ? [] : reasons(selections, subject, pod) }
  })
}

function reasons(selections: Policy['selections'], subject: Subject, pod: WorldPod): readonly string[] {
  if (pod.hostNetwork) return ['the pod uses the network of its node, and policies never select such pods']
  if (selections.length === 0) return ['the policy has no selector that can be read']
  const texts = selections.map(({ unmet }) => {
    const described = unmet(subject).map(describeUnmet)
    return described.length === 0
      ? 'the requirements of a selector contradict each other'
      : described.join(', and ')
  })
  return [...new Set(texts)]
}

function describeUnmet({ of, key, operator, values, actual }: Unmet): string {
  const label = key === serviceAccountKey ? 'service account' : `label ${key}`
  const has = actual === undefined ? `has no ${label}` : `has ${label}=${actual}`
  const listed = values.join(' or ')
  switch (operator) {
    case 'In':
      return `the ${of} ${has}, and the policy selects ${listed}`
    case 'NotIn':
      return `the ${of} ${has}, and the policy selects all except ${listed}`
    case 'Exists':
      return `the ${of} ${has}, and the policy selects only those that have one`
    case 'DoesNotExist':
      return `the ${of} ${has}, and the policy selects only those that have none`
  }
}

/** The prefixes that contain the destination, in the order in which they count. */
export function explainRules(policies: readonly Policy[], destination: Address): readonly RuleStory[] {
  const winners = claimsByPrefix(policies)
  const claims = policies.flatMap((policy) =>
    [...claimsByPrefix([policy])].map(([prefix, { isExcluded }]) => ({ policy, prefix, isExcluded })),
  )
  return claims
    .filter(({ prefix }) => contains(prefix, destination))
    .toSorted((a, b) => prefixLength(b.prefix) - prefixLength(a.prefix))
    .map(({ policy: { kind, name }, prefix, isExcluded }, index, all) => {
      const first = all[0]
      const story = { kind, name, prefix, isExcluded }
      if (first === undefined || index === 0) return story
      if (prefix !== first.prefix) return { ...story, beatenBecause: `${first.prefix} is more specific` }
      const older = winners.get(prefix)?.policy
      return { ...story, beatenBecause: `policy ${older?.name} is older and has the same prefix` }
    })
}

/** All gateways of the policy, those that the pod's new flows to the destination use first. */
export function explainGateways(
  context: Context,
  policy: Policy,
  { pod, destination }: { readonly pod: WorldPod; readonly destination: Address },
): readonly GatewayStory[] {
  const exits = context.exits.get(policy.id) ?? []
  const zone = context.self.labels[zoneLabel]
  const all = gatewaysForPod(policy, exits, pod, zone, context.ineligible)
  const open = openForFamily(policy, all, familyOf(destination))
  const unhealthy = unhealthyNodes(context.world)
  const rank = { active: 0, standby: 1, unused: 2 } as const
  return [...new Set(exits.flat())]
    .map((gateway): GatewayStory => {
      const reachable = reachabilityIn(context, gateway)
      return {
        node: gateway.node.name,
        tunnelAddress: tunnelAddressOf(gateway.node),
        egressIps: Object.values(gateway.egressIps),
        role: open.active.includes(gateway)
          ? 'active'
          : open.standby.includes(gateway)
            ? 'standby'
            : 'unused',
        ...(reachable === undefined ? {} : { isReachable: reachable }),
        problems: gatewayProblems(gateway, { reachable, isUnhealthy: unhealthy.has(gateway.node.name) }),
      }
    })
    .toSorted((a, b) => rank[a.role] - rank[b.role])
}

function reachabilityIn({ world, self }: Context, { node: { name } }: Gateway): boolean | undefined {
  if (name === self.name || world.reachableNodes?.has(name)) return true
  return world.unreachableNodes?.has(name) ? false : undefined
}

function gatewayProblems(
  gateway: Gateway,
  { reachable, isUnhealthy }: { readonly reachable: boolean | undefined; readonly isUnhealthy: boolean },
): readonly string[] {
  const { node, outage, unroutedIpv6 } = gateway
  return [
    ...(node.isCordoned ? ['the node is cordoned'] : []),
    ...(reachable === false ? ["it does not answer the probes of the pod's node"] : []),
    ...(isUnhealthy && reachable === undefined ? ['the cluster sees it as unhealthy'] : []),
    ...(outage === undefined
      ? []
      : [`its interface ${outage.interface} carries no traffic (${outage.problem})`]),
    ...(hasEgressIp(gateway) ? [] : ['it has no egress IP']),
    ...(unroutedIpv6 === undefined ? [] : [`the kernel does not find the IPv6 route of ${unroutedIpv6}`]),
  ]
}

export function explainNetworkPolicies(context: Context, pod: WorldPod): NetworkPolicyStory {
  const restrictions = context.restrictions(pod)
  return {
    mode: context.world.settings.networkPolicies,
    restrictedBy: restrictions.map(nameOfRestriction),
    problems: restrictions.flatMap(({ problems }) => problems),
  }
}
