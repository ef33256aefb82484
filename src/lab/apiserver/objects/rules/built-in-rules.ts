import { badRequest, type FieldIssue } from '../../http/status-error.ts'
import { definitionIssues } from '../../schema/definition-rules.ts'
import { isList, isText, missing, wrong } from '../../schema/field-issues.ts'
import { type ApiObject, isObject } from '../api-object.ts'
import { configMapChangeIssues } from '../config-map.ts'
import { podChangeIssues, podSpecIssues, requireQuantities } from '../pods/pod-rules.ts'
import type { ResourceKind } from '../resources.ts'
import {
  bindingChangeIssues,
  disruptionIssues,
  eventIssues,
  leaseIssues,
  priorityIssues,
  rolloutIssues,
  ruleIssues,
  templateIssues,
} from './kind-rules.ts'
import { metadataIssues, metadataProblem } from './object-metadata.ts'

/** Rules of built-in kinds that users meet when they make a mistake, and what the server itself relies on later. */
export function builtInIssues(kind: ResourceKind, object: ApiObject, live?: ApiObject): FieldIssue[] {
  return [
    ...metadataIssues(object, kind.group.startsWith('rbac'), live),
    ...(checks[kind.kind]?.(object, live) ?? []),
  ]
}

/** Every part of the server reads these without asking again: what has another shape must not get in. */
export function checkShape(kind: ResourceKind, object: ApiObject): void {
  for (const field of ['spec', 'status'])
    if (object[field] === null) delete object[field]
    else if (kind.custom === undefined && object[field] !== undefined && !isObject(object[field]))
      throw badRequest(
        `${kind.kind} in version "${kind.version}" cannot be handled: ${field} is not an object`,
      )
  const problem = metadataProblem(object.metadata)
  if (problem !== undefined)
    throw badRequest(
      `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: ${problem}`,
    )
  const { managedFields = [] } = object.metadata
  for (const entry of managedFields)
    if (entry.fieldsV1 !== undefined && !isObject(entry.fieldsV1))
      throw badRequest('metadata.managedFields: fieldsV1 is not an object')
}

const checks: Readonly<Record<string, (object: ApiObject, live?: ApiObject) => FieldIssue[]>> = {
  Pod: podIssues,
  Deployment: (object) => [...workloadIssues(object), ...rolloutIssues(object)],
  ReplicaSet: workloadIssues,
  DaemonSet: workloadIssues,
  StatefulSet: workloadIssues,
  Event: eventIssues,
  Lease: leaseIssues,
  PodDisruptionBudget: disruptionIssues,
  PriorityClass: priorityIssues,
  Role: roleIssues,
  ClusterRole: roleIssues,
  RoleBinding: bindingIssues,
  ClusterRoleBinding: bindingIssues,
  CustomResourceDefinition: definitionIssues,
}

function podIssues({ kind, spec = {} }: ApiObject): FieldIssue[] {
  requireQuantities(kind, spec)
  return podSpecIssues(spec)
}

function workloadIssues(object: ApiObject): FieldIssue[] {
  const { spec } = object
  const selector = isObject(spec?.selector) ? spec.selector.matchLabels : undefined
  const template = isObject(spec?.template) ? spec.template : {}
  const metadata = isObject(template.metadata) ? template.metadata : {}
  const labels = isObject(metadata.labels) ? metadata.labels : {}
  const issues = podSpecIssues(isObject(template.spec) ? template.spec : {}, 'spec.template.spec')
  issues.push(...templateIssues(object))
  if (!isObject(spec?.selector)) issues.push(missing('spec.selector'))
  else if (isObject(selector) && Object.entries(selector).some(([key, value]) => labels[key] !== value))
    issues.push(wrong('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'))
  return issues
}

function roleIssues({ rules }: ApiObject): FieldIssue[] {
  const lists = ['verbs', 'apiGroups', 'resources', 'resourceNames', 'nonResourceURLs']
  const isRule = (rule: unknown): boolean =>
    isObject(rule) &&
    isList(rule.verbs, isText) &&
    lists.every((field) => rule[field] === undefined || rule[field] === null || isList(rule[field], isText))
  if (rules === undefined || rules === null || isList(rules, isRule)) return ruleIssues(rules)
  return [wrong('rules', rules, 'each rule has verbs, and lists of names')]
}

function bindingIssues({ roleRef, subjects }: ApiObject): FieldIssue[] {
  const isSubject = (each: unknown): boolean => isObject(each) && isText(each.kind) && isText(each.name)
  const issues: FieldIssue[] = []
  if (!isObject(roleRef) || !isText(roleRef.kind) || !isText(roleRef.name)) issues.push(missing('roleRef'))
  if (subjects !== undefined && subjects !== null && !isList(subjects, isSubject))
    issues.push(wrong('subjects', subjects, 'each subject has a kind and a name'))
  return issues
}

/** Fields that cannot change: most of a pod's spec, the role of a binding, and an immutable ConfigMap. */
export function changeIssues(kind: ResourceKind, live: ApiObject, object: ApiObject): FieldIssue[] {
  if (kind.kind === 'ConfigMap') return configMapChangeIssues(live, object)
  if (kind.kind === 'Pod') return podChangeIssues(live, object)
  return kind.kind.endsWith('RoleBinding') ? bindingChangeIssues(live, object) : []
}
