import { type ApiObject, isEqual, isObject, type JsonObject } from './api-object.ts'
import { configMapChangeIssues } from './config-map.ts'
import { definitionIssues } from './definition-rules.ts'
import { isList, isText, missing, wrong } from './field-issues.ts'
import { metadataIssues, metadataProblem } from './object-metadata.ts'
import type { ResourceKind } from './resources.ts'
import { badRequest, type FieldIssue } from './status-error.ts'

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
  Deployment: workloadIssues,
  ReplicaSet: workloadIssues,
  DaemonSet: workloadIssues,
  StatefulSet: workloadIssues,
  Role: roleIssues,
  ClusterRole: roleIssues,
  RoleBinding: bindingIssues,
  ClusterRoleBinding: bindingIssues,
  CustomResourceDefinition: definitionIssues,
}

function podIssues({ spec }: ApiObject): FieldIssue[] {
  return containerIssues(spec?.containers, 'spec.containers')
}

function containerIssues(containers: unknown, field: string): FieldIssue[] {
  if (!Array.isArray(containers) || containers.length === 0) return [missing(field)]
  return containers.flatMap((container, index) => {
    if (!isObject(container)) return [wrong(`${field}[${index}]`, container, 'must be an object')]
    return ['name', 'image']
      .filter((part) => !container[part])
      .map((part) => missing(`${field}[${index}].${part}`))
  })
}

function workloadIssues({ spec }: ApiObject): FieldIssue[] {
  const selector = isObject(spec?.selector) ? spec.selector.matchLabels : undefined
  const template = isObject(spec?.template) ? spec.template : {}
  const metadata = isObject(template.metadata) ? template.metadata : {}
  const labels = isObject(metadata.labels) ? metadata.labels : {}
  const issues = containerIssues(
    isObject(template.spec) ? template.spec.containers : undefined,
    'spec.template.spec.containers',
  )
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
  if (rules === undefined || rules === null || isList(rules, isRule)) return []
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

/** What a pod runs and where is settled once: its kubelet does not follow a change of mind. */
export function changeIssues(kind: ResourceKind, live: ApiObject, object: ApiObject): FieldIssue[] {
  if (kind.kind === 'ConfigMap') return configMapChangeIssues(live, object)
  if (kind.kind !== 'Pod' || isEqual(settled(live), settled(object))) return []
  return [
    {
      field: 'spec',
      reason: 'FieldValueForbidden',
      message:
        'Forbidden: pod updates may not change fields other than `spec.containers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to existing tolerations)',
    },
  ]
}

function settled({ spec = {} }: ApiObject): JsonObject {
  const { activeDeadlineSeconds: _, tolerations: __, containers, ...rest } = spec
  const list = Array.isArray(containers) ? containers.filter(isObject) : []
  return { ...rest, containers: list.map(({ image: ___, ...container }) => container) }
}
