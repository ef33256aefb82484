import type { DeniedPods, EgressNode } from '../../../api/egress-node.ts'
import { covers, overlaps, type Prefix, prefixLength } from '../../../net/prefix.ts'
import { type Context, selectingPolicies } from '../../context.ts'
import { nameOfRestriction } from '../../policies/network-policies.ts'
import type { Policy } from '../../policies/policies.ts'
import { policyKey } from '../../policies/selected-pods.ts'
import type { NetworkRule, Tables } from '../../tables.ts'
import type { TimelessCondition } from '../conditions.ts'
import { maxNamed, maxReported, nameRestricted } from './restricted-pods.ts'

type Rules = ReadonlyMap<Prefix, NetworkRule>
type Destinations = Pick<Policy, 'destinations' | 'exclusions'>

/** Pods of this node whose NetworkPolicies allow nothing of what an egress policy selects, by egress policy. */
export function countDenied(
  context: Context,
  { podsByIp, networkRules }: Pick<Tables, 'podsByIp' | 'networkRules'>,
): readonly DeniedPods[] {
  const { pods, settings } = context.world
  if (settings.networkPolicies !== 'enforce') return []
  const answers = new Map<string, boolean>()
  const found = new Map<string, DeniedPods & { readonly named: Set<string> }>()
  for (const pod of pods) {
    const networkSet = pod.ips.map((address) => podsByIp.get(address)?.networkSet).find(Boolean)
    const rules = networkSet === undefined ? undefined : networkRules.get(networkSet)
    if (rules === undefined) continue
    for (const policy of selectingPolicies(context, pod)) {
      const question = `${networkSet} ${policy.id}`
      const isDenied = answers.get(question) ?? allowsNothing(rules, policy)
      answers.set(question, isDenied)
      if (!isDenied) continue
      const key = policyKey(policy)
      const before = found.get(key)
      const named = before?.named ?? new Set<string>()
      for (const restriction of context.restrictions(pod)) named.add(nameOfRestriction(restriction))
      const name = `${pod.namespace}/${pod.name}`
      const example = before === undefined || name < before.example ? name : before.example
      const pods = (before?.pods ?? 0) + 1
      found.set(key, { policy: key, pods, example, named, networkPolicies: [] })
    }
  }
  return [...found.values()]
    .sort((a, b) => (a.policy < b.policy ? -1 : 1))
    .slice(0, maxReported)
    .map(({ named, ...each }) => ({ ...each, networkPolicies: [...named].sort().slice(0, maxNamed) }))
}

/**
 * Whether network rules deny all that an egress policy selects. Rules that allow something of a destination count even if longer
 * ones deny every address of it, so a doubtful case is not reported.
 */
export function allowsNothing(rules: Rules, { destinations, exclusions }: Destinations): boolean {
  return destinations.every((destination) => !allowsSome(rules, destination, exclusions))
}

function allowsSome(rules: Rules, destination: Prefix, exclusions: readonly Prefix[]): boolean {
  /* The longer prefix wins: a destination inside an exclusion counts. */
  const inside = exclusions.filter((each) => covers(destination, each))
  const isExcluded = (prefix: Prefix): boolean => inside.some((each) => covers(each, prefix))
  if (isExcluded(destination)) return false
  const touching = [...rules].filter(([prefix]) => overlaps(prefix, destination))
  const [around] = touching
    .filter(([prefix]) => covers(prefix, destination))
    .sort(([a], [b]) => prefixLength(b) - prefixLength(a))
  if (around !== undefined && around[1].action !== 'deny') return true
  return touching.some(
    ([prefix, { action }]) =>
      action !== 'deny' && prefix !== around?.[0] && covers(destination, prefix) && !isExcluded(prefix),
  )
}

/** What all nodes report of one egress policy. */
export function deniedConditions(
  policy: Pick<Policy, 'kind' | 'name'>,
  egressNodes: readonly EgressNode[],
): readonly TimelessCondition[] {
  const reports = egressNodes.flatMap(({ status }) =>
    (status?.denied ?? []).filter((each) => each.policy === policyKey(policy)),
  )
  if (reports.length === 0) return []
  const { subject, networkPolicies } = nameRestricted(reports)
  const message = `Sallyport drops the traffic that this policy selects of ${subject}, because the NetworkPolicies that restrict the egress of these pods (${networkPolicies}) allow no destination of this policy. Allow a destination with an ipBlock in a NetworkPolicy that selects them, or exclude them from this policy.`
  return [{ type: 'PodsDenied', status: 'True', reason: 'NoDestinationAllowed', message }]
}
