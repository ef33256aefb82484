import type { Condition } from '../../api/metadata.ts'

export type TimelessCondition = Omit<Condition, 'lastTransitionTime'>

/** A condition's time changes with its status alone. */
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
