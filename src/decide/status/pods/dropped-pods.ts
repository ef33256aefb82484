import type { EgressNode } from '../../../api/egress-node.ts'
import type { Policy } from '../../policies/policies.ts'
import { policyKey, type Selected } from '../../policies/selected-pods.ts'
import type { TimelessCondition } from '../conditions.ts'
import type { Problem } from '../policy-conditions/gateway-problems.ts'

/** What is known of the pods that a policy selects. */
interface Pods {
  readonly selected: Selected
  /** Every node has reported how many pods the policy selects there. */
  readonly isComplete: boolean
  /** Nodes whose pods lose all that the policy selects. */
  readonly cutOff: { readonly has: (node: string) => boolean }
  /** By node name. */
  readonly reports: ReadonlyMap<string, EgressNode['status']>
  /** The conditions that say why pods lose traffic. */
  readonly remarks: readonly TimelessCondition[]
}

/**
 * A policy is not ready if Sallyport drops the traffic of every pod that it selects. A refusal with a problem is about pods that a
 * NetworkPolicy may still let out, so it does not count. A node reports at most 64 policies. What it leaves out makes this say
 * nothing, and never the contrary.
 */
export function allDroppedProblems(policy: Pick<Policy, 'kind' | 'name'>, pods: Pods): readonly Problem[] {
  const { selected, isComplete, cutOff, reports, remarks } = pods
  if (selected.pods === 0 || !isComplete) return []
  const key = policyKey(policy)
  const lost = [...selected.byNode].map(([node, count]) => {
    const { refused = [], denied = [] } = reports.get(node) ?? {}
    const refusedHere = sum(refused.filter((each) => each.policy === key && each.problem === undefined))
    const deniedHere = sum(denied.filter((each) => each.policy === key))
    const isLost = cutOff.has(node) || refusedHere + deniedHere >= count
    return { isLost, isRefused: refusedHere >= count }
  })
  if (!lost.every(({ isLost }) => isLost)) return []
  if (lost.every(({ isRefused }) => isRefused)) return [{ reason: 'AllPodsRefused', message: allRefused }]
  const message = remarks.map((each) => each.message).join(' ')
  return [{ reason: 'AllPodsDropped', message: `No selected pod can send. ${message}` }]
}

const allRefused =
  'Sallyport drops all traffic that the policy selects, because NetworkPolicies restrict all its pods and cni.networkPolicies is refuse. The condition PodsRefused says what to do.'

function sum(reports: readonly { readonly pods: number }[]): number {
  return reports.reduce((total, { pods }) => total + pods, 0)
}
