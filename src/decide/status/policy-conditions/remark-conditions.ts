import type { Policy } from '../../policies/policies.ts'
import type { TimelessCondition } from '../conditions.ts'

/** One condition for all likely mistakes. The policy is applied as it is written. */
export function remarkConditions({ remarks, problems }: Policy): readonly TimelessCondition[] {
  if (problems.length > 0 || remarks.length === 0) return []
  return [{ type: 'LikelyMistake', status: 'True', reason: 'SeeMessage', message: remarks.join(' ') }]
}
