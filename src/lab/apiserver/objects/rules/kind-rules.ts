import { badRequest, type FieldIssue } from '../../http/status-error.ts'
import { missing, wrong } from '../../schema/field-issues.ts'
import { type ApiObject, isEqual, isObject, type JsonObject } from '../api-object.ts'
import { objectsIn } from '../pods/pod-defaults.ts'

/** Cluster-wide objects have their events here. */
const clusterEventNamespaces: readonly unknown[] = ['default', 'kube-system']

/** An Event is in the namespace of the object that it is about. */
export function eventIssues({ metadata, involvedObject }: ApiObject): FieldIssue[] {
  const { namespace = '' } = isObject(involvedObject) ? involvedObject : {}
  const { namespace: own } = metadata
  if (namespace === '' ? clusterEventNamespaces.includes(own) : namespace === own) return []
  return [wrong('involvedObject.namespace', namespace, 'does not match event.namespace')]
}

const microTime = /\.\d{6}(Z|[+-]\d\d:\d\d)$/

/** A Lease's times have fractions of a second. A time without them cannot be parsed. */
export function leaseIssues({ spec = {} }: ApiObject): FieldIssue[] {
  for (const field of ['renewTime', 'acquireTime']) {
    const time = spec[field]
    if (typeof time === 'string' && !microTime.test(time))
      throw badRequest(
        `Lease in version "v1" cannot be handled as a Lease: parsing time "${time}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"`,
      )
  }
  const seconds = spec.leaseDurationSeconds
  return typeof seconds === 'number' && seconds <= 0
    ? [wrong('spec.leaseDurationSeconds', seconds, 'must be greater than 0')]
    : []
}

export function disruptionIssues({ spec = {} }: ApiObject): FieldIssue[] {
  const { minAvailable, maxUnavailable } = spec
  if (minAvailable !== undefined && maxUnavailable !== undefined)
    return [wrong('spec', spec, 'minAvailable and maxUnavailable cannot be both set')]
  return Object.entries({ minAvailable, maxUnavailable }).flatMap(([field, value]) => {
    const percent = typeof value === 'string' ? Number(/^(\d+)%$/.exec(value)?.[1]) : 0
    return percent > 100 ? [wrong(`spec.${field}`, value, 'must not be greater than 100%')] : []
  })
}

const systemClasses = ['system-node-critical', 'system-cluster-critical']

export function priorityIssues({ metadata: { name } }: ApiObject): FieldIssue[] {
  if (!name.startsWith('system-') || systemClasses.includes(name)) return []
  return [
    {
      field: 'metadata.name',
      reason: 'FieldValueForbidden',
      message: `Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: ${name} is not a known system priority class`,
    },
  ]
}

/** A rule must name the resources or paths to which it gives rights. */
export function ruleIssues(rules: unknown): FieldIssue[] {
  const isEmpty = (list: unknown): boolean => !Array.isArray(list) || list.length === 0
  return objectsIn(rules).flatMap((rule, index) => {
    const at = `rules[${index}]`
    const issues = isEmpty(rule.verbs)
      ? [missing(`${at}.verbs`, ': verbs must contain at least one value')]
      : []
    if (!isEmpty(rule.nonResourceURLs)) return issues
    if (isEmpty(rule.apiGroups))
      issues.push(missing(`${at}.apiGroups`, ': resource rules must supply at least one api group'))
    if (isEmpty(rule.resources))
      issues.push(missing(`${at}.resources`, ': resource rules must supply at least one resource'))
    return issues
  })
}

/** Whom a binding gives rights may change; which rights it gives may not. */
export function bindingChangeIssues(live: ApiObject, object: ApiObject): FieldIssue[] {
  if (isEqual(live.roleRef, object.roleRef)) return []
  return [wrong('roleRef', object.roleRef, 'cannot change roleRef')]
}

const isNone = (value: unknown): boolean => value === 0 || value === '0%'

/** A rollout that may neither add a pod nor take one away never ends. */
export function rolloutIssues({ spec = {} }: ApiObject): FieldIssue[] {
  const strategy = isObject(spec.strategy) ? spec.strategy : {}
  const rolling: JsonObject = isObject(strategy.rollingUpdate) ? strategy.rollingUpdate : {}
  const { maxUnavailable, maxSurge } = rolling
  if (!isNone(maxUnavailable) || !isNone(maxSurge)) return []
  return [
    wrong('spec.strategy.rollingUpdate.maxUnavailable', maxUnavailable, 'may not be 0 when `maxSurge` is 0'),
  ]
}

/** What a workload keeps running is started again whenever it ends. */
export function templateIssues({ spec = {} }: ApiObject): FieldIssue[] {
  const template = isObject(spec.template) ? spec.template : {}
  const { restartPolicy = 'Always' } = isObject(template.spec) ? template.spec : {}
  if (!['OnFailure', 'Never'].includes(String(restartPolicy))) return []
  return [
    {
      field: 'spec.template.spec.restartPolicy',
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${JSON.stringify(restartPolicy)}: supported values: "Always"`,
    },
  ]
}
