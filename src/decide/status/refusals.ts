import type { EgressNode, RefusedPods } from '../../api/egress-node.ts'
import { type Context, selectingPolicies } from '../context.ts'
import type { Refusal } from '../tables.ts'
import type { TimelessCondition } from './conditions.ts'

/** The pods whose traffic is dropped because a NetworkPolicy restricts it, with the names of all policies involved. */
export function listRefusals(context: Context): readonly Refusal[] {
  const { world, self, restrictions } = context
  return world.pods
    .filter(({ hostNetwork, nodeName }) => !hostNetwork && nodeName === self.name)
    .flatMap((pod) => {
      const networkPolicies = restrictions(pod)
      const policies = networkPolicies.length === 0 ? [] : selectingPolicies(context, pod)
      if (policies.length === 0) return []
      const names = policies.map(({ kind, name }) => `${kind} ${name}`)
      return [{ pod: `${pod.namespace}/${pod.name}`, networkPolicies, policies: names }]
    })
    .sort((a, b) => (a.pod < b.pod ? -1 : 1))
}

/** Limits of a node's report and of a message. People read them, and more entries would tell them nothing new. */
const maxReported = 64
const maxNamed = 3

/** Summarises refusals by egress policy for the node's status. */
export function summariseRefusals(refusals: readonly Refusal[]): RefusedPods[] {
  const byPolicy = new Map<string, Refusal[]>()
  for (const refusal of refusals)
    for (const policy of refusal.policies) byPolicy.set(policy, [...(byPolicy.get(policy) ?? []), refusal])
  return [...byPolicy]
    .map(([policy, those]) => ({
      policy,
      networkPolicies: [...new Set(those.flatMap(({ networkPolicies }) => networkPolicies))]
        .sort()
        .slice(0, maxNamed),
      pods: those.length,
      example: those[0]?.pod ?? '',
    }))
    .sort((a, b) => (a.policy < b.policy ? -1 : 1))
    .slice(0, maxReported)
}

/** The condition of one egress policy, from the reports of all nodes. */
export function refusalConditions(
  policy: { readonly kind: string; readonly name: string },
  egressNodes: readonly EgressNode[],
): readonly TimelessCondition[] {
  const reports = egressNodes.flatMap(({ status }) =>
    (status?.refused ?? []).filter((each) => each.policy === `${policy.kind} ${policy.name}`),
  )
  const [first] = reports
  if (first === undefined) return []
  const pods = reports.reduce((sum, report) => sum + report.pods, 0)
  const named = [...new Set(reports.flatMap(({ networkPolicies }) => networkPolicies))].sort()
  const subject = pods === 1 ? `pod ${first.example}` : `${pods} pods, for example ${first.example}`
  const message = `NetworkPolicy ${named.slice(0, maxNamed).join(', ')} restricts the egress of ${subject}. Sallyport cannot enforce a NetworkPolicy on traffic that an egress policy selects, so it drops this traffic. Exclude the pods from the NetworkPolicy or from this egress policy, or allow all egress in the NetworkPolicy. To send the traffic without the NetworkPolicy, set cni.networkPolicies=bypass.`
  return [{ type: 'PodsRefused', status: 'True', reason: 'NetworkPolicy', message }]
}
