import { type ApiObject, isObject, type JsonObject } from '../api-object.ts'
import type { Store } from '../store.ts'

interface HoldingBudget {
  readonly name: string
  readonly needed: number
  readonly healthy: number
}

/**
 * The PodDisruptionBudget that forbids to evict this pod. Undefined if the pod may be evicted. A pod that is not ready may
 * always be.
 */
export function holdingBudget(store: Store, pod: ApiObject): HoldingBudget | undefined {
  if (!isReady(pod)) return undefined
  const { namespace } = pod.metadata
  for (const budget of store.values('policy/poddisruptionbudgets')) {
    const selector = budget.spec?.selector
    if (budget.metadata.namespace !== namespace || !isObject(selector) || !isSelected(pod, selector)) continue
    const covered = [...store.values('/pods')].filter(
      (each) => each.metadata.namespace === namespace && isSelected(each, selector),
    )
    const healthy = covered.filter(isReady).length
    const needed = leastReady(budget.spec ?? {}, covered.length)
    if (healthy - 1 < needed) return { name: budget.metadata.name, needed, healthy }
  }
  return undefined
}

function isReady(pod: ApiObject): boolean {
  const conditions = Array.isArray(pod.status?.conditions) ? pod.status.conditions : []
  return (
    pod.metadata.deletionTimestamp === undefined &&
    conditions.some((each) => isObject(each) && each.type === 'Ready' && each.status === 'True')
  )
}

/** Percentages of the pods that it covers are rounded up, as Kubernetes rounds them. */
function leastReady({ minAvailable, maxUnavailable }: JsonObject, covered: number): number {
  const count = (value: unknown): number =>
    typeof value === 'string' && value.endsWith('%')
      ? Math.ceil((covered * Number(value.slice(0, -1))) / 100)
      : Number(value)
  if (minAvailable !== undefined) return count(minAvailable)
  return covered - (maxUnavailable === undefined ? 1 : count(maxUnavailable))
}

function isSelected({ metadata: { labels = {} } }: ApiObject, selector: JsonObject): boolean {
  const { matchLabels, matchExpressions } = selector
  const wanted = isObject(matchLabels) ? Object.entries(matchLabels) : []
  const expressions = Array.isArray(matchExpressions) ? matchExpressions.filter(isObject) : []
  return (
    wanted.every(([key, value]) => labels[key] === value) &&
    expressions.every(({ key, operator, values }) => {
      const value = labels[String(key)]
      const isIn = value !== undefined && Array.isArray(values) && values.includes(value)
      switch (operator) {
        case 'In':
          return isIn
        case 'NotIn':
          return !isIn
        case 'Exists':
          return value !== undefined
        default:
          return value === undefined
      }
    })
  )
}
