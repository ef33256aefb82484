import { type ApiObject, isObject, type JsonObject } from '../api-object.ts'
import { fillPod, fillPodSpec, objectsIn } from '../pods/pod-defaults.ts'
import type { ResourceKind } from '../resources.ts'

/** What the real API server fills in, as far as users and the lab's own parts see it. */
export function fillDefaults(kind: ResourceKind, object: ApiObject): void {
  switch (kind.kind) {
    case 'Pod':
      object.spec ??= {}
      fillPodSpec(object.spec)
      fillPod(object.spec)
      return
    case 'Namespace':
      object.spec = { finalizers: ['kubernetes'], ...object.spec }
      object.status = { phase: 'Active', ...object.status }
      object.metadata.labels = {
        ...object.metadata.labels,
        'kubernetes.io/metadata.name': object.metadata.name,
      }
      return
    case 'Deployment':
      fillWorkload(object, { replicas: 1, revisionHistoryLimit: 10, progressDeadlineSeconds: 600 })
      withRollout(object, 'strategy', { maxUnavailable: '25%', maxSurge: '25%' })
      return
    case 'ReplicaSet':
      fillWorkload(object, { replicas: 1 })
      return
    case 'StatefulSet':
      fillWorkload(object, {
        replicas: 1,
        revisionHistoryLimit: 10,
        podManagementPolicy: 'OrderedReady',
        persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
      })
      withRollout(object, 'updateStrategy', { partition: 0 })
      return
    case 'DaemonSet':
      fillWorkload(object, { revisionHistoryLimit: 10 })
      withRollout(object, 'updateStrategy', { maxUnavailable: 1, maxSurge: 0 })
      return
    case 'NetworkPolicy':
      fillNetworkPolicy(object)
      return
    case 'RoleBinding':
    case 'ClusterRoleBinding':
      fillBinding(object)
      return
    case 'Lease':
      object.spec ??= {}
      return
    case 'PriorityClass':
      object.preemptionPolicy ??= 'PreemptLowerPriority'
      return
    case 'Event':
      fillEvent(object)
      return
    case 'Secret':
      fillSecret(object)
      return
    case 'CustomResourceDefinition':
      fillDefinition(object)
      return
    default:
  }
}

/** A pod template has the same defaults as a pod. */
function fillWorkload(object: ApiObject, defaults: JsonObject): void {
  object.spec = { ...defaults, ...object.spec }
  const template = object.spec.template
  if (!isObject(template)) return
  template.metadata ??= {}
  if (isObject(template.spec)) fillPodSpec(template.spec)
}

/** The defaults of a rollout, also if its owner sets only some of its fields. */
function withRollout(object: ApiObject, field: string, rollingUpdate: JsonObject): void {
  const strategy = isObject(object.spec?.[field]) ? object.spec[field] : {}
  const type = strategy.type ?? 'RollingUpdate'
  const given = isObject(strategy.rollingUpdate) ? strategy.rollingUpdate : {}
  const filled = type === 'RollingUpdate' ? { rollingUpdate: { ...rollingUpdate, ...given } } : {}
  object.spec = { ...object.spec, [field]: { ...strategy, type, ...filled } }
}

/** A NetworkPolicy without egress rules does not restrict egress. */
function fillNetworkPolicy(policy: ApiObject): void {
  const spec = policy.spec ?? {}
  policy.spec = spec
  spec.policyTypes ??= ['Ingress', ...(objectsIn(spec.egress).length > 0 ? ['Egress'] : [])]
  for (const rule of [...objectsIn(spec.ingress), ...objectsIn(spec.egress)])
    for (const port of objectsIn(rule.ports)) port.protocol ??= 'TCP'
}

const rbac = 'rbac.authorization.k8s.io'

function fillBinding(binding: ApiObject): void {
  if (isObject(binding.roleRef)) binding.roleRef.apiGroup ??= rbac
  for (const subject of objectsIn(binding.subjects))
    if (subject.kind !== 'ServiceAccount') subject.apiGroup ??= rbac
}

/** Fields that a real API server writes also where they are empty. */
function fillEvent(event: ApiObject): void {
  event.source ??= {}
  event.reportingComponent ??= ''
  event.reportingInstance ??= ''
  for (const field of ['firstTimestamp', 'lastTimestamp', 'eventTime']) event[field] ??= null
}

/** `stringData` is for writing: it is kept as `data`. */
function fillSecret(secret: ApiObject): void {
  secret.type ??= 'Opaque'
  if (!isObject(secret.stringData)) return
  const encoded = Object.entries(secret.stringData).map(([key, value]) => [
    key,
    Buffer.from(String(value)).toString('base64'),
  ])
  secret.data = { ...(isObject(secret.data) ? secret.data : {}), ...Object.fromEntries(encoded) }
  delete secret.stringData
}

/** Its conditions come later: names have to be accepted first. */
function fillDefinition(definition: ApiObject): void {
  const spec = definition.spec ?? {}
  const names = isObject(spec.names) ? spec.names : {}
  const { kind } = names
  if (typeof kind === 'string' && kind !== '')
    spec.names = {
      ...names,
      singular: names.singular || kind.toLowerCase(),
      listKind: names.listKind || `${kind}List`,
    }
  dropEmpty(spec)
  for (const version of Array.isArray(spec.versions) ? spec.versions.filter(isObject) : []) {
    version.served ??= false
    version.storage ??= false
  }
  spec.conversion ??= { strategy: 'None' }
  definition.spec = spec
  definition.status ??= { conditions: null, acceptedNames: { plural: '', kind: '' } }
  noteStoredVersion(definition)
}

/** Which versions objects were ever stored in. */
export function noteStoredVersion(definition: ApiObject): void {
  const { versions } = definition.spec ?? {}
  const storage = (Array.isArray(versions) ? versions : [])
    .filter(isObject)
    .find((version) => version.storage)
  const stored = (definition.status?.storedVersions ?? []) as unknown[]
  definition.status = {
    ...definition.status,
    storedVersions:
      storage === undefined || stored.includes(storage.name) ? stored : [...stored, storage.name],
  }
}

/** Go leaves out lists that are empty and values that are null; where a schema or a version belongs, null is an empty one. */
function dropEmpty(fields: JsonObject): void {
  for (const [field, value] of Object.entries(fields)) {
    if (
      value === null ||
      (value === '' && field === 'message') ||
      (Array.isArray(value) && value.length === 0 && field !== 'versions')
    )
      delete fields[field]
    else if (Array.isArray(value)) {
      if (field === 'versions') fields[field] = value.map((each: unknown) => each ?? {})
      ;(fields[field] as unknown[]).filter(isObject).forEach(dropEmpty)
    } else if (isObject(value) && field === 'properties')
      for (const [name, below] of Object.entries(value))
        if (below === null) value[name] = {}
        else if (isObject(below)) dropEmpty(below)
    if (isObject(value) && field !== 'default' && field !== 'properties') dropEmpty(value)
  }
}
