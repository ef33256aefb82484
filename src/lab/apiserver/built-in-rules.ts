import { type ApiObject, isObject } from './api-object.ts'
import { definitionIssues } from './definition-rules.ts'
import { isList, isText, isTextMap, missing, wrong } from './field-issues.ts'
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
import { podChangeIssues, podSpecIssues, requireQuantities } from './pod-rules.ts'
import type { ResourceKind } from './resources.ts'
import { badRequest, type FieldIssue, invalid } from './status-error.ts'

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const labelValue = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/

/** Rules of built-in kinds that users meet when they make a mistake, and what the server itself relies on later. */
export function checkBuiltIn(kind: ResourceKind, object: ApiObject): void {
  const { name, labels = {} } = object.metadata
  if (!name)
    throw invalid(kind.group, kind.kind, '', [missing('metadata.name', ': name or generateName is required')])
  const issues: FieldIssue[] = []
  const isPathSegment = kind.group.startsWith('rbac') && !/[/%]/.test(name) && name !== '.' && name !== '..'
  if (!isPathSegment && (name.length > 253 || !subdomain.test(name)))
    issues.push(
      wrong(
        'metadata.name',
        name,
        `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character`,
      ),
    )
  for (const [key, value] of Object.entries(labels))
    if (value.length > 63 || !labelValue.test(value))
      issues.push(wrong('metadata.labels', value, `the value of label ${key} is not valid`))
  for (const field of ['spec', 'status'])
    if (object[field] !== undefined && !isObject(object[field]))
      throw badRequest(
        `${kind.kind} in version "${kind.version}" cannot be handled: ${field} is not an object`,
      )
  issues.push(...(checks[kind.kind]?.(object) ?? []))
  if (issues.length > 0) throw invalid(kind.group, kind.kind, name, issues)
}

/** Every part of the server reads these without asking again: what has another shape must not get in. */
export function checkShape(kind: ResourceKind, object: ApiObject): void {
  const { metadata } = object
  for (const field of ['spec', 'status'])
    if (object[field] === null) delete object[field]
    else if (object[field] !== undefined && !isObject(object[field]))
      throw badRequest(
        `${kind.kind} in version "${kind.version}" cannot be handled: ${field} is not an object`,
      )
  const shapes: readonly (readonly [field: string, isRight: (value: unknown) => boolean])[] = [
    ['name', isText],
    ['generateName', isText],
    ['namespace', isText],
    ['labels', isTextMap],
    ['annotations', isTextMap],
    ['finalizers', (value) => isList(value, isText)],
    ['ownerReferences', (value) => isList(value, (each) => isObject(each) && isText(each.uid))],
    [
      'managedFields',
      (value) => isList(value, (each) => isObject(each) && isText(each.manager) && isObject(each.fieldsV1)),
    ],
  ]
  for (const [field, isRight] of shapes)
    if (metadata[field] === null) delete metadata[field]
    else if (metadata[field] !== undefined && !isRight(metadata[field]))
      throw badRequest(`metadata.${field} does not have the shape that it must have`)
}

const checks: Readonly<Record<string, (object: ApiObject) => FieldIssue[]>> = {
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

/** What is settled once: how a pod runs, and what a binding gives. */
export function checkChange(kind: ResourceKind, live: ApiObject, object: ApiObject): void {
  const issues =
    kind.kind === 'Pod'
      ? podChangeIssues(live, object)
      : kind.kind.endsWith('RoleBinding')
        ? bindingChangeIssues(live, object)
        : []
  if (issues.length > 0) throw invalid(kind.group, kind.kind, object.metadata.name, issues)
}
