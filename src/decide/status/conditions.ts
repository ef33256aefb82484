import type { Condition } from '../../api/metadata.ts'
import type { ConditionType, ReasonOf } from './condition-reasons.ts'

/** A condition as it is decided. Its type allows only the reasons that the condition has. */
export type TimelessCondition = {
  readonly [Type in ConditionType]: Omit<Condition, 'lastTransitionTime' | 'type' | 'reason'> & {
    readonly type: Type
    readonly reason: ReasonOf<Type>
  }
}[ConditionType]

/** lastTransitionTime changes only if the condition's status changes. */
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
