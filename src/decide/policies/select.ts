import type { LabelRequirement, LabelSelector } from '../../api/label-selector.ts'
import type { Labels } from '../world.ts'

/** A selector that is parsed once, because with many policies and nodes it is tested a million times. */
export type LabelTest = (labels: Labels) => boolean

/** A test whether a selector matches labels. */
export function labelTest(selector: LabelSelector): LabelTest {
  const requirements = requirementsOf(selector)
  return (labels) => requirements.every((requirement) => meets(requirement, labels))
}

/** All requirements of a selector in one form. */
export function requirementsOf({
  matchLabels = {},
  matchExpressions = [],
}: LabelSelector): readonly LabelRequirement[] {
  const required = Object.entries(matchLabels).map(
    ([key, value]): LabelRequirement => ({ key, operator: 'In', values: [value] }),
  )
  return [...required, ...matchExpressions]
}

/** The rules of Kubernetes. A missing label counts as "not in" any list of values. */
export function meets({ key, operator, values = [] }: LabelRequirement, labels: Labels): boolean {
  const value = labels[key]
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
  }
}

/** The mistake in a selector that the API server accepted. Undefined if there is none. */
export function selectorProblem(selector: unknown): string | undefined {
  if (!isMap(selector)) return 'the selector is not an object'
  const { matchLabels, matchExpressions } = selector
  if (matchLabels !== undefined && !isMap(matchLabels)) return 'matchLabels is not a map'
  if (matchExpressions === undefined) return undefined
  if (!Array.isArray(matchExpressions)) return 'matchExpressions is not a list'
  return matchExpressions.map(requirementProblem).find((problem) => problem !== undefined)
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function requirementProblem(requirement: unknown): string | undefined {
  const { key, operator, values } = (requirement ?? {}) as Record<string, unknown>
  const count = Array.isArray(values) ? values.length : 0
  if (typeof key !== 'string' || key === '') return 'a requirement has no key'
  if (operator === 'In' || operator === 'NotIn')
    return count > 0 ? undefined : `the requirement on ${key} has operator ${operator} and no values`
  if (operator === 'Exists' || operator === 'DoesNotExist')
    return count === 0
      ? undefined
      : `the requirement on ${key} has operator ${operator}, which takes no values`
  return `the requirement on ${key} has the unknown operator ${asText(operator)}`
}

/** A value as text. The API server may have accepted an object, even one with a `toString` that is not a function. */
export function asText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}
