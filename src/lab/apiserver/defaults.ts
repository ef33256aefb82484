import { type ApiObject, isObject, type JsonObject } from './api-object.ts'
import { ruleProblem } from './cel.ts'
import type { ResourceKind } from './resources.ts'
import { badRequest, type FieldIssue, invalid, StatusError } from './status-error.ts'

/** What the real API server fills in, as far as users and the lab's own parts see it. */
export function fillDefaults(kind: ResourceKind, object: ApiObject): void {
  switch (kind.kind) {
    case 'Pod':
      fillPod(object)
      return
    case 'Namespace':
      object.spec = { finalizers: ['kubernetes'], ...object.spec }
      object.status = { phase: 'Active', ...object.status }
      return
    case 'Deployment':
    case 'ReplicaSet':
    case 'StatefulSet':
      object.spec = { replicas: 1, ...object.spec }
      return
    case 'CustomResourceDefinition':
      fillDefinition(object)
      return
    default:
  }
}

const tolerationOf = (key: string): JsonObject => ({
  key,
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds: 300,
})

function fillPod(pod: ApiObject): void {
  const spec: JsonObject = {
    restartPolicy: 'Always',
    serviceAccountName: 'default',
    terminationGracePeriodSeconds: 30,
    schedulerName: 'default-scheduler',
    enableServiceLinks: true,
    dnsPolicy: 'ClusterFirst',
    ...pod.spec,
  }
  const tolerations = Array.isArray(spec.tolerations) ? (spec.tolerations as JsonObject[]) : []
  const missing = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].filter(
    (key) =>
      !tolerations.some(
        (toleration) =>
          toleration.operator === 'Exists' && (toleration.key === key || toleration.key === undefined),
      ),
  )
  spec.tolerations = [...tolerations, ...missing.map(tolerationOf)]
  for (const container of Array.isArray(spec.containers) ? (spec.containers as JsonObject[]) : [])
    container.imagePullPolicy ??= 'IfNotPresent'
  pod.spec = spec
  pod.status = { phase: 'Pending', ...pod.status }
}

function fillDefinition(definition: ApiObject): void {
  const names = (definition.spec?.names ?? {}) as JsonObject
  const now = new Date().toISOString()
  definition.status = {
    acceptedNames: names,
    storedVersions: ((definition.spec?.versions ?? []) as JsonObject[])
      .filter(({ storage }) => storage)
      .map(({ name }) => name),
    conditions: ['NamesAccepted', 'Established'].map((type) => ({
      type,
      status: 'True',
      reason: type === 'Established' ? 'InitialNamesAccepted' : 'NoConflicts',
      message: '',
      lastTransitionTime: now,
    })),
  }
}

const nameOfLabel = /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$/

/** Rules of built-in kinds that users meet when they make a mistake. */
export function checkBuiltIn(kind: ResourceKind, object: ApiObject): void {
  const issues: FieldIssue[] = []
  const { name } = object.metadata
  if (!name)
    throw invalid(kind.group, kind.kind, '', [
      {
        field: 'metadata.name',
        reason: 'FieldValueRequired',
        message: 'Required value: name or generateName is required',
      },
    ])
  if (!kind.group.startsWith('rbac') && (name.length > 253 || !nameOfLabel.test(name)))
    issues.push({
      field: 'metadata.name',
      reason: 'FieldValueInvalid',
      message: `Invalid value: ${JSON.stringify(name)}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character`,
    })
  for (const [key, value] of Object.entries(object.metadata.labels ?? {}))
    if (
      typeof value !== 'string' ||
      value.length > 63 ||
      !/^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/.test(value)
    )
      issues.push({
        field: 'metadata.labels',
        reason: 'FieldValueInvalid',
        message: `Invalid value: ${JSON.stringify(value)}: the value of label ${key} is not valid`,
      })
  if (kind.kind === 'Pod' && (!Array.isArray(object.spec?.containers) || object.spec.containers.length === 0))
    issues.push({ field: 'spec.containers', reason: 'FieldValueRequired', message: 'Required value' })
  if (kind.kind === 'CustomResourceDefinition') issues.push(...definitionIssues(object))
  if (issues.length > 0) throw invalid(kind.group, kind.kind, name, issues)
}

function definitionIssues(definition: ApiObject): FieldIssue[] {
  const { group, names } = (definition.spec ?? {}) as { group?: string; names?: { plural?: string } }
  const issues = rulesOf(definition.spec).flatMap((rule) => {
    const problem = ruleProblem(rule)
    return problem === undefined
      ? []
      : [
          {
            field: 'spec.versions',
            reason: 'FieldValueInvalid',
            message: `Invalid value: ${JSON.stringify(rule)}: compilation failed: ${problem}`,
          },
        ]
  })
  if (definition.metadata.name !== `${names?.plural}.${group}`)
    issues.push({
      field: 'metadata.name',
      reason: 'FieldValueInvalid',
      message: `Invalid value: "${definition.metadata.name}": must be spec.names.plural+"."+spec.group`,
    })
  return issues
}

function rulesOf(node: unknown): string[] {
  if (Array.isArray(node)) return node.flatMap(rulesOf)
  if (!isObject(node)) return []
  const own = Array.isArray(node['x-kubernetes-validations'])
    ? (node['x-kubernetes-validations'] as { rule?: string }[]).map(({ rule }) => String(rule))
    : []
  return [...own, ...Object.values(node).flatMap(rulesOf)]
}

/** What a body must be before anything else is looked at. */
export function requireObject(body: unknown): ApiObject {
  if (!isObject(body)) throw badRequest('the request body is not an object')
  if (body.metadata === undefined || body.metadata === null) body.metadata = {}
  if (!isObject(body.metadata)) throw new StatusError(400, 'BadRequest', 'metadata is not an object')
  return body as unknown as ApiObject
}
