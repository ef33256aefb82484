import type { EgressNode, RefusedPods } from '../../api/egress-node.ts'
import { type Context, selectingPolicies } from '../context.ts'
import { nameOfRestriction } from '../policies/network-policies.ts'
import type { Policy } from '../policies/policies.ts'
import { policyKey } from '../policies/selected-pods.ts'
import type { Refusal } from '../tables.ts'
import type { WorldPod } from '../world.ts'
import type { TimelessCondition } from './conditions.ts'
import { maxNamed, maxReported, nameRestricted } from './pods/restricted-pods.ts'

/**
 * Which of this node's pods lose traffic because a NetworkPolicy cannot be evaluated, or because the traffic that egress
 * policies select is to be refused. In chained mode, the other plugin judges what no egress policy selects.
 */
export function listRefusals(
  context: Context,
  networkProblems: ReadonlyMap<WorldPod, readonly string[]>,
): readonly Refusal[] {
  const { settings, pods } = context.world
  return pods
    .flatMap((pod) => {
      const problems = networkProblems.get(pod) ?? []
      const refusals = [
        ...(settings.networkPolicies === 'refuse' ? [describe(context, pod, [])] : []),
        ...(problems.length > 0 ? [describe(context, pod, problems)] : []),
      ]
      return refusals.filter(
        (each) =>
          each.networkPolicies.length > 0 &&
          (each.policies.length > 0 || (each.problems.length > 0 && !settings.isChained)),
      )
    })
    .sort((a, b) => (a.pod < b.pod ? -1 : a.pod > b.pod ? 1 : a.problems.length - b.problems.length))
}

function describe(context: Context, pod: WorldPod, problems: readonly string[]): Refusal {
  const isOurs = !pod.hostNetwork && pod.nodeName === context.self.name
  return {
    pod: `${pod.namespace}/${pod.name}`,
    networkPolicies: isOurs ? context.restrictions(pod).map(nameOfRestriction) : [],
    policies: isOurs ? selectingPolicies(context, pod).map(policyKey) : [],
    problems,
  }
}

/** Summarises refusals by egress policy for the node's status. */
export function summariseRefusals(refusals: readonly Refusal[]): RefusedPods[] {
  const alike = new Map<string, { readonly policy: string; readonly those: Refusal[] }>()
  for (const refusal of refusals)
    for (const policy of refusal.policies) {
      const key = `${policy} ${refusal.problems.length > 0}`
      const { those } = alike.get(key) ?? { those: [] }
      alike.set(key, { policy, those: [...those, refusal] })
    }
  return [...alike]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { policy, those }]) => ({
      policy,
      networkPolicies: [...new Set(those.flatMap(({ networkPolicies }) => networkPolicies))]
        .sort()
        .slice(0, maxNamed),
      pods: those.length,
      example: those[0]?.pod ?? '',
      ...firstProblem(those),
    }))
    .slice(0, maxReported)
}

function firstProblem(refusals: readonly Refusal[]): { readonly problem?: string } {
  const [problem] = refusals.flatMap(({ problems }) => problems)
  return problem === undefined ? {} : { problem }
}

/** Of one egress policy, by what all nodes report. */
export function refusalConditions(
  policy: Pick<Policy, 'kind' | 'name'>,
  egressNodes: readonly EgressNode[],
): readonly TimelessCondition[] {
  const reports = egressNodes.flatMap(({ status }) =>
    (status?.refused ?? []).filter((each) => each.policy === policyKey(policy)),
  )
  /* A condition has one reason: what an administrator has chosen explains itself less than what nobody has. */
  const unclear = reports.filter(({ problem }) => problem !== undefined)
  if (unclear.length > 0) return [unclearCondition(unclear)]
  return reports.length > 0 ? [refusedCondition(reports)] : []
}

function refusedCondition(reports: readonly RefusedPods[]): TimelessCondition {
  const message = `${restricted(reports)} With cni.networkPolicies=refuse, Sallyport drops all traffic of such pods that an egress policy selects. To let out what the NetworkPolicy allows, set cni.networkPolicies=enforce. Otherwise exclude the pods from the NetworkPolicy or from this egress policy.`
  return { type: 'PodsRefused', status: 'True', reason: 'NetworkPolicy', message }
}

function unclearCondition(reports: readonly RefusedPods[]): TimelessCondition {
  const message = `${restricted(reports)} Sallyport cannot evaluate part of it, and that part allows nothing: ${reports[0]?.problem}.`
  return { type: 'PodsRefused', status: 'True', reason: 'NetworkPolicyUnclear', message }
}

function restricted(reports: readonly RefusedPods[]): string {
  const { subject, networkPolicies } = nameRestricted(reports)
  return `NetworkPolicy ${networkPolicies} restricts the egress of ${subject}.`
}
