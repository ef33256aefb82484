import type { EgressNode, UnroutedPolicy } from '../../../api/egress-node.ts'
import { type Exits, namesOfServing } from '../../gateways/gateways.ts'
import type { Policy } from '../../policies/policies.ts'
import { policyKey } from '../../policies/selected-pods.ts'
import type { TimelessCondition } from '../conditions.ts'
import { someNames } from '../some-names.ts'
import type { Problem } from './gateway-problems.ts'

/** What a gateway that new connections use reports about its routes. Undefined: it misses none, or says nothing. */
interface Report {
  readonly gateway: string
  readonly unrouted: UnroutedPolicy | undefined
}

type Named = Pick<Policy, 'kind' | 'name' | 'problems'>
type Reports = ReadonlyMap<string, EgressNode['status']>

function reportsOf(policy: Named, active: Exits, reports: Reports): readonly Report[] {
  if (policy.problems.length > 0) return []
  return namesOfServing(active).map((gateway) => ({
    gateway,
    unrouted: reports.get(gateway)?.unrouted?.find((each) => each.policy === policyKey(policy)),
  }))
}

/** The policy is not ready if no gateway that new connections use has a route to any of its destinations. */
export function routeProblems(policy: Named, active: Exits, reports: Reports): readonly Problem[] {
  const found = reportsOf(policy, active, reports)
  if (found.length === 0 || !found.every(({ unrouted }) => unrouted?.all)) return []
  return [{ reason: 'NoRoute', message: explain(found) }]
}

export function routeConditions(
  policy: Named,
  active: Exits,
  reports: Reports,
): readonly TimelessCondition[] {
  const found = reportsOf(policy, active, reports)
  const lacking = found.filter(({ unrouted }) => unrouted !== undefined)
  if (lacking.length === 0) return []
  const reason = found.every(({ unrouted }) => unrouted?.all) ? 'AllDestinations' : 'SomeDestinations'
  return [{ type: 'NoRoute', status: 'True', reason, message: explain(lacking) }]
}

function explain(reports: readonly Report[]): string {
  const named = reports.map(
    ({ gateway, unrouted }) => `${gateway} to ${someNames(unrouted?.destinations ?? [])}`,
  )
  return `These gateways have no route to destinations of the policy, and drop packets to them: ${someNames(named, '; ')}. Add a route on the gateway. If an interface has the egress IP and a default route of its own, the route must use that interface.`
}
